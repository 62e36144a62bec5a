//! Live progress: the running step of each scenario, what it waits for and the time that this wait's limit leaves; lines of the finished where nothing can be drawn over.

use super::{
    Event, Purpose, Selected, Style,
    style::{Paint, harmless, plural, seconds},
    terminal::sign,
};
use crate::{
    verdict::{Outcome, ScenarioResult, Standing},
    wait::Waiting,
};
use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

/// Most running scenarios shown at once.
const SHOWN: usize = 8;
/// How often the picture is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// What is known of a run while it runs.
#[derive(Debug)]
pub struct Progress {
    style: Style,
    started: Instant,
    purpose: Purpose,
    selected: Vec<Selected>,
    running: BTreeMap<usize, Running>,
    finished: BTreeMap<Standing, usize>,
}

#[derive(Debug)]
struct Running {
    step: String,
    since: Instant,
    waiting: Option<Waiting>,
}

impl Running {
    fn of(step: &str, since: Instant) -> Self {
        Self { step: harmless(step), since, waiting: None }
    }

    fn step(&self) -> &str {
        if self.step.is_empty() { "is being set up" } else { &self.step }
    }
}

impl Progress {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(style: Style, now: Instant) -> Self {
        Self { style, started: now, purpose: Purpose::Verify, selected: Vec::new(), running: BTreeMap::new(), finished: BTreeMap::new() }
    }

    /// Takes an event in and returns the lines that stay.
    pub fn take(&mut self, event: Event, now: Instant) -> Vec<String> {
        match event {
            Event::RunStarted { run_id, purpose, selected, jobs } => {
                *self = Self { purpose, selected, ..Self::new(self.style, now) };
                let what = match purpose {
                    Purpose::Verify => "",
                    Purpose::Baseline => ", unchanged",
                    Purpose::Mutants => ", under mutants",
                };
                let line = format!("run {run_id}: {}{what}, {jobs} at once", plural(self.selected.len(), "scenario"));
                vec![self.style.paint(Paint::Quiet, line)]
            }
            Event::ScenarioStarted { index } => {
                self.running.insert(index, Running::of("", now));
                Vec::new()
            }
            Event::StepStarted { index, text } => {
                self.running.insert(index, Running::of(&text, now));
                Vec::new()
            }
            Event::StepWaits { index, waiting } => {
                if let Some(running) = self.running.get_mut(&index) {
                    running.waiting = waiting.map(|waiting| Waiting { what: harmless(&waiting.what), ..waiting });
                }
                Vec::new()
            }
            Event::ScenarioFinished { index, result } => {
                self.running.remove(&index);
                let standing = result.outcome.standing();
                *self.finished.entry(standing).or_default() += 1;
                // On a terminal the final report tells what held; what did not must not wait for it.
                let expected = standing <= Standing::NotProven || self.purpose == Purpose::Mutants;
                if self.style.live && expected { Vec::new() } else { vec![self.finished_line(&result)] }
            }
            Event::Remark(remark) if self.style.live => {
                drop(remark);
                Vec::new()
            }
            Event::Remark(remark) => vec![harmless(&remark)],
            Event::Interrupted { doing } => {
                let running = self.running.iter().map(|(index, running)| self.doing(*index, running, now));
                let doing: Vec<String> = running.chain(doing).map(|doing| format!("  {}", harmless(&doing))).collect();
                let told = if doing.is_empty() { "interrupted" } else { "interrupted; taking everything down. It was doing:" };
                let mut lines = vec![self.style.paint(Paint::Odd, told)];
                lines.extend(doing);
                lines
            }
            Event::RunFinished => Vec::new(),
        }
    }

    fn doing(&self, index: usize, running: &Running, now: Instant) -> String {
        let id = self.selected.get(index).map_or("", |selected| selected.guarantee.as_str());
        let waits = |waiting: &Waiting| format!(" (waits for {}, {})", waiting.what, left(waiting, now));
        format!("{id}  {}{}", running.step(), running.waiting.as_ref().map(waits).unwrap_or_default())
    }

    fn finished_line(&self, result: &ScenarioResult) -> String {
        let (sign, paint) = sign(result.outcome.standing());
        let done: usize = self.finished.values().sum();
        let told = match &result.outcome {
            Outcome::Passed => String::new(),
            Outcome::Unsupported { capability, .. } => format!(": not proven here ({capability})"),
            Outcome::Skipped { reason } => format!(": left out ({reason})"),
            Outcome::Failed { message, .. } | Outcome::Broken { message, .. } => {
                format!(": {}", message.lines().next().unwrap_or_default())
            }
        };
        let total = self.selected.len();
        let digits = total.to_string().len();
        let line = format!("{}  {} {}{told}", result.guarantee, harmless(&result.scenario), seconds(result.took));
        format!(
            "{} {} {}",
            self.style.paint(Paint::Quiet, format!("[{done:digits$}/{total}]")),
            self.style.paint(paint, sign),
            harmless(&line)
        )
    }

    /// The picture of what runs now.
    #[must_use]
    pub fn frame(&self, now: Instant) -> Vec<String> {
        let width = self.style.width.unwrap_or(80);
        let done: usize = self.finished.values().sum();
        let mut counts = format!("{done}/{} scenarios · {}", self.selected.len(), seconds(now.duration_since(self.started)));
        for (standing, number) in &self.finished {
            counts.push_str(&format!(" · {} {number}", sign(*standing).0));
        }
        let mut lines = vec![self.style.paint(Paint::Strong, Style::cut(&counts, width))];
        // Longest running first: that is what a waiting person wonders about.
        let mut running: Vec<(&usize, &Running)> = self.running.iter().collect();
        running.sort_by_key(|(_, running)| running.since);
        for (index, running) in running.iter().take(SHOWN) {
            let id = self.selected.get(**index).map_or("", |selected| selected.guarantee.as_str());
            let (text, time) = match &running.waiting {
                Some(waiting) => (format!("{} · waits for {}", running.step(), waiting.what), left(waiting, now)),
                None => (running.step().to_owned(), seconds(now.saturating_duration_since(running.since))),
            };
            let room = width.saturating_sub(2 + 8 + 2 + 2 + time.chars().count());
            let step = Style::cut(&text, room);
            lines.push(format!("  {id:8}  {step:room$}  {}", self.style.paint(Paint::Quiet, time)));
        }
        if running.len() > SHOWN {
            lines.push(self.style.paint(Paint::Quiet, format!("  and {} more", running.len() - SHOWN)));
        }
        lines
    }
}

/// Time left in whole seconds: tenths would only flicker.
fn left(waiting: &Waiting, now: Instant) -> String {
    format!("{} s left", waiting.until.saturating_duration_since(now).as_secs())
}

/// Shows events until the run is finished or its sender is gone; blocks the thread only in writing.
///
/// A stream that takes no more bytes ends the showing, not the run.
pub async fn show(mut events: UnboundedReceiver<Event>, mut progress: Progress, mut out: impl Write) {
    let mut ticks = tokio::time::interval(TICK);
    let mut drawn = 0;
    let mut open = true;
    loop {
        // Lines that stay are written at once; the picture follows the clock, or sixteen busy scenarios would make it flicker.
        let (lines, tick) = tokio::select! {
            event = events.recv() => match event {
                None | Some(Event::RunFinished) => break,
                Some(event) => (progress.take(event, Instant::now()), false),
            },
            _ = ticks.tick() => (Vec::new(), true),
        };
        let live = progress.style.live;
        if !open || (lines.is_empty() && !(live && tick)) {
            continue;
        }
        let frame = if live && !progress.selected.is_empty() { progress.frame(Instant::now()) } else { Vec::new() };
        let mut picture = erase(drawn);
        for line in lines.iter().chain(&frame) {
            picture.push_str(line);
            picture.push('\n');
        }
        drawn = frame.len();
        open = out.write_all(picture.as_bytes()).and_then(|()| out.flush()).is_ok();
    }
    if open && out.write_all(erase(drawn).as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("standard error was closed before the progress was erased");
    }
}

/// Moves back over the last picture and clears it.
fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Place;
    use tokio::sync::mpsc::unbounded_channel;

    fn started() -> Event {
        let selected = |guarantee: &str| Selected {
            system: "mcp".into(),
            feature: "Persistence".into(),
            guarantee: guarantee.into(),
            promise: "A promise".into(),
            scenario: "a scenario".into(),
            place: Place::default(),
        };
        Event::RunStarted { run_id: "r1".into(), purpose: Purpose::Verify, selected: vec![selected("MCP-P5"), selected("MCP-P8")], jobs: 2 }
    }

    fn finished(index: usize, outcome: Outcome) -> Event {
        Event::ScenarioFinished { index, result: Box::new(ScenarioResult::sample("MCP-P5", outcome)) }
    }

    fn waits(index: usize, what: &str, until: Instant) -> Event {
        Event::StepWaits { index, waiting: Some(Waiting { what: what.into(), until }) }
    }

    fn failed() -> Outcome {
        Outcome::Failed { step: "Then x".into(), message: "lost 3 of 9\ncaused by y".into() }
    }

    #[test]
    fn the_picture_shows_the_running_step_and_the_time_that_its_limit_leaves() {
        let now = Instant::now();
        let mut progress = Progress::new(Style { color: false, live: true, width: Some(86) }, now);
        progress.take(started(), now);
        progress.take(Event::ScenarioStarted { index: 0 }, now);
        let text = "Then Redis is ready again within 60 seconds".into();
        progress.take(Event::StepStarted { index: 0, text }, now);
        progress.take(waits(0, "PONG", now + Duration::from_secs(60)), now);
        progress.take(Event::ScenarioStarted { index: 1 }, now);
        let frame = progress.frame(now + Duration::from_secs(4));
        assert_eq!(
            frame,
            [
                "0/2 scenarios · 4.00 s",
                "  MCP-P5    Then Redis is ready again within 60 seconds · waits for PONG     56 s left",
                "  MCP-P8    is being set up                                                     4.00 s",
            ]
        );
        // The wait is over, the step is not.
        progress.take(Event::StepWaits { index: 0, waiting: None }, now);
        let frame = progress.frame(now + Duration::from_secs(5));
        assert_eq!(frame[1], "  MCP-P5    Then Redis is ready again within 60 seconds                         5.00 s");
    }

    #[test]
    fn a_limit_that_has_passed_leaves_nothing() {
        let now = Instant::now();
        let mut progress = Progress::new(Style { color: false, live: true, width: Some(60) }, now);
        progress.take(started(), now);
        progress.take(Event::StepStarted { index: 0, text: "Then x".into() }, now);
        progress.take(waits(0, "a \x1bpod", now + Duration::from_secs(2)), now);
        let frame = progress.frame(now + Duration::from_secs(9));
        assert_eq!(frame[1], "  MCP-P5    Then x · waits for a pod                0 s left");
    }

    #[test]
    fn no_line_of_the_picture_is_wider_than_the_terminal() {
        let now = Instant::now();
        let mut progress = Progress::new(Style { color: false, live: true, width: Some(40) }, now);
        progress.take(started(), now);
        progress.take(Event::StepStarted { index: 0, text: "Then ".repeat(40) }, now);
        progress.take(waits(0, "a pod", now), now);
        assert!(progress.frame(now).iter().all(|line| line.chars().count() <= 40), "{:?}", progress.frame(now));
    }

    #[test]
    fn an_interrupted_run_says_what_it_was_doing() {
        let now = Instant::now();
        let mut progress = Progress::new(Style::PLAIN, now);
        progress.take(started(), now);
        progress.take(Event::StepStarted { index: 0, text: "Then Redis is ready again".into() }, now);
        progress.take(waits(0, "PONG", now + Duration::from_secs(60)), now);
        progress.take(Event::StepStarted { index: 1, text: "When the Redis pod is killed".into() }, now);
        let lines = progress.take(Event::Interrupted { doing: Vec::new() }, now + Duration::from_secs(20));
        assert_eq!(
            lines,
            [
                "interrupted; taking everything down. It was doing:",
                "  MCP-P5  Then Redis is ready again (waits for PONG, 40 s left)",
                "  MCP-P8  When the Redis pod is killed"
            ]
        );
    }

    #[tokio::test]
    async fn without_a_terminal_each_finished_scenario_is_one_line() {
        let (events, receiver) = unbounded_channel();
        for event in [started(), finished(0, Outcome::Passed), finished(1, failed()), Event::RunFinished] {
            events.send(event).expect("the receiver is there");
        }
        let mut out = Vec::new();
        show(receiver, Progress::new(Style::PLAIN, Instant::now()), &mut out).await;
        assert_eq!(
            String::from_utf8_lossy(&out),
            "run r1: 2 scenarios, 2 at once\n[1/2] ✓ MCP-P5  a scenario 0.12 s\n[2/2] ✗ MCP-P5  a scenario 0.12 s: lost 3 of 9\n"
        );
    }

    #[tokio::test]
    async fn on_a_terminal_only_what_did_not_hold_stays() {
        let (events, receiver) = unbounded_channel();
        for event in [started(), finished(0, Outcome::Passed), finished(1, failed()), Event::RunFinished] {
            events.send(event).expect("the receiver is there");
        }
        let mut out = Vec::new();
        show(receiver, Progress::new(Style { color: false, live: true, width: Some(80) }, Instant::now()), &mut out).await;
        let out = String::from_utf8_lossy(&out);
        assert!(!out.contains("✓ MCP-P5") && out.contains("✗ MCP-P5"), "{out}");
        assert!(out.ends_with("\x1b[J"), "the picture is erased at the end: {out:?}");
    }

    #[tokio::test]
    async fn a_closed_stream_does_not_end_the_run() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (events, receiver) = unbounded_channel();
        for event in [started(), finished(0, failed()), finished(1, failed()), Event::RunFinished] {
            events.send(event).expect("the receiver is there");
        }
        show(receiver, Progress::new(Style::PLAIN, Instant::now()), Closed).await;
        assert!(events.is_closed(), "every event was taken");
    }
}
