//! Writes a capture: `generate MIX BYTES|FLOWSf SEED OUTPUT [SIDECAR] [DISTURBANCE]`.

use std::fs::File;
use std::io::Write;

use skycap_traffic::{Generator, Mix, Options, parse_bytes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mix, size, seed, output, rest @ ..] = arguments.as_slice() else {
        return Err("usage: generate MIX BYTES|FLOWSf SEED OUTPUT [SIDECAR] [DISTURBANCE]".into());
    };
    let mut options = Options { seed: seed.parse()?, ..Options::new(mix.parse::<Mix>()?) };
    match size.strip_suffix('f') {
        Some(flows) => options.flows = Some(flows.parse()?),
        None => options.bytes = Some(parse_bytes(size)?),
    }
    if let Some(disturbance) = rest.get(1) {
        options.disturbance = disturbance.parse()?;
    }
    let mut sidecar = rest.first().map(File::create).transpose()?;
    let sidecar = sidecar.as_mut().map(|file| file as &mut dyn Write);
    let totals = Generator::new(options)?.write(File::create(output)?, sidecar)?;
    println!("{}", serde_json::to_string_pretty(&totals)?);
    Ok(())
}
