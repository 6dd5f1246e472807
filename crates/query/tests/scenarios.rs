//! Every scenario file, through the reference.

use skycap_query::{evaluate, parse, sample};

#[test]
fn scenarios() {
    let (catalogue, context) = (sample::catalogue(), sample::context());
    let mut wrong = Vec::new();
    for scenario in sample::scenarios().unwrap() {
        for query in &scenario.queries {
            let text = &query.expression;
            let found = parse(text, &catalogue, &context).map(|expression| {
                let shown = expression.to_string();
                assert_eq!(parse(&shown, &catalogue, &context).as_ref(), Ok(&expression), "{text} as {shown}");
                let expression = expression.map_files(&mut |pattern| scenario.resolve(pattern));
                let fits = scenario.documents.iter().filter(|each| evaluate::matches(&expression, *each, &catalogue));
                let mut ids: Vec<String> = fits.map(|each| each["_id"].as_str().unwrap().to_owned()).collect();
                ids.sort_unstable();
                ids
            });
            let fine = match (&found, &query.expected) {
                (Ok(found), Ok(expected)) => found == expected,
                (Err(error), Err(piece)) => error.to_string().contains(piece.as_str()),
                _ => false,
            };
            if !fine {
                wrong.push(format!("{}: {text}\n  expected {:?}\n  found {found:?}", scenario.name, query.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
