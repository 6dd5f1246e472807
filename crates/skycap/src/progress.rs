//! Progress of `skycap local`: a bar on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// How often plain lines are written where the output is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Counters that the parts of the pipeline add to.
#[derive(Default)]
pub(crate) struct Counters {
    /// Bytes of input read.
    pub(crate) bytes: AtomicU64,
    /// Packets read.
    pub(crate) packets: AtomicU64,
    /// Sessions stored.
    pub(crate) sessions: AtomicU64,
}

/// Shows the counters.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    total: Option<u64>,
}

impl Progress {
    /// Begins; `total` is the size of the input where it is known.
    pub(crate) fn begin(total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = match total {
                Some(_) => "{bar:30} {bytes}/{total_bytes} {msg} {eta} left",
                None => "{spinner} {bytes} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { bar, started: now, last_line: now, total }
    }

    /// Shows the counters as they are now.
    pub(crate) fn show(&mut self, counters: &Counters) {
        let bytes = counters.bytes.load(Ordering::Relaxed);
        let packets = counters.packets.load(Ordering::Relaxed);
        let sessions = counters.sessions.load(Ordering::Relaxed);
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = (packets as f64 / seconds) as u64;
        let message = format!("{} packets/s, {} sessions", HumanCount(rate), HumanCount(sessions));
        match &self.bar {
            Some(bar) => {
                bar.set_position(bytes);
                bar.set_message(message);
            }
            None if self.last_line.elapsed() >= PLAIN_EVERY => {
                self.last_line = Instant::now();
                let left = self.total.filter(|_| bytes > 0).map(|total| {
                    let left = seconds * (total.saturating_sub(bytes)) as f64 / bytes as f64;
                    format!(" of {}, {left:.0} s left", HumanBytes(total))
                });
                eprintln!("skycap: {}{}, {message}", HumanBytes(bytes), left.unwrap_or_default());
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
