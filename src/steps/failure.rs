//! How a step ends when it does not hold: typed, since a promise broken, a capability missing and a blind eye are three things.

use crate::{
    manifest::{ManifestError, Place},
    target::{Capability, TargetError, Unsupported},
    verdict::Outcome,
    wait::TimedOut,
};
use std::{cell::RefCell, fmt, future::Future};

/// What every step returns.
pub type Step<T = ()> = Result<T, Failure>;

/// Why a step did not hold, and where in the manifests the reason stands, as far as that is known.
#[derive(Clone, Debug)]
pub struct Failure {
    why: Why,
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
enum Why {
    Violated(String),
    Unsupported(Unsupported),
    Skipped(String),
    Broken(String),
}

tokio::task_local! {
    /// Cucumber keeps only the text of a step's error; the typed one travels here, one slot a scenario.
    static SLOT: RefCell<Option<Failure>>;
}

/// Gives a scenario its slot.
pub async fn within_scenario<F: Future>(scenario: F) -> F::Output {
    SLOT.scope(RefCell::new(None), scenario).await
}

impl Failure {
    /// The system under test broke the promise: what was expected and what was seen.
    pub fn violated(seen: impl Into<String>) -> Self {
        Self::of(Why::Violated(seen.into()))
    }

    /// The same, where the manifests' field is known that makes it so; the text ends with the place.
    pub fn violated_at(place: Place, seen: impl fmt::Display) -> Self {
        Self::violated(format!("{seen}, at {place}")).standing_at([place])
    }

    /// The same failure, which speaks of fields at these places; a place without a file is none.
    #[must_use]
    pub fn standing_at(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        for place in places {
            if !place.file.as_os_str().is_empty() && !self.places.contains(&place) {
                self.places.push(place);
            }
        }
        self
    }

    /// The same failure with the place of the field that makes it so, in its text as well; as it was where none is known.
    #[must_use]
    pub fn pointing_to(mut self, place: Option<Place>) -> Self {
        let Some(place) = place.filter(|place| !place.file.as_os_str().is_empty()) else { return self };
        if let Why::Violated(text) = &mut self.why {
            text.push_str(&format!(", at {place}"));
        }
        self.standing_at([place])
    }

    /// Where in the manifests the fields stand that it speaks of.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    fn of(why: Why) -> Self {
        Self { why, places: Vec::new() }
    }

    /// We could not tell.
    pub fn broken(why: impl Into<String>) -> Self {
        Self::of(Why::Broken(why.into()))
    }

    /// The same, where nothing makes it doubtful; a promise is not broken by what rests on a guess.
    #[must_use]
    pub fn unless(self, doubt: Option<String>) -> Self {
        match (self.why, doubt) {
            (Why::Violated(seen), Some(doubt)) => Self { why: Why::Skipped(format!("{doubt}; {seen}")), places: self.places },
            (why, _) => Self { why, places: self.places },
        }
    }

    /// Left out on purpose.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::of(Why::Skipped(reason.into()))
    }

    /// The target cannot do it.
    pub fn unsupported(capability: Capability, reason: impl Into<String>) -> Self {
        Self::of(Why::Unsupported(Unsupported { capability, reason: reason.into() }))
    }

    /// Takes the failure of the step that has just ended.
    #[must_use]
    pub fn take() -> Option<Self> {
        SLOT.try_with(|slot| slot.borrow_mut().take()).ok().flatten()
    }

    /// Whether a step of the present scenario has just failed: the panic that cucumber makes of it is no bug.
    #[must_use]
    pub fn is_pending() -> bool {
        SLOT.try_with(|slot| slot.borrow().is_some()).unwrap_or(false)
    }

    /// The outcome of a scenario that ended with this at the step.
    #[must_use]
    pub fn at(self, step: String) -> Outcome {
        match self.why {
            Why::Violated(message) => Outcome::Failed { step, message },
            Why::Unsupported(Unsupported { capability, reason }) => Outcome::Unsupported { capability, reason },
            Why::Skipped(reason) => Outcome::Skipped { reason },
            Why::Broken(message) => Outcome::Broken { step, message },
        }
    }
}

/// Cucumber panics with this text; on its way the failure is laid into the scenario's slot.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Outside a scenario there is no slot, and the text is all that is wanted.
        let _outside = SLOT.try_with(|slot| *slot.borrow_mut() = Some(self.clone()));
        match &self.why {
            Why::Violated(text) | Why::Skipped(text) | Why::Broken(text) => f.write_str(text),
            Why::Unsupported(unsupported) => unsupported.fmt(f),
        }
    }
}

/// The whole chain of causes on one line.
fn chain(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Unsupported(unsupported) => Self::of(Why::Unsupported(unsupported)),
            // What an API server refuses, a team cannot deploy.
            refused @ TargetError::Refused { .. } => Self::violated(chain(refused)),
            other => Self::broken(chain(other)),
        }
    }
}

impl From<Unsupported> for Failure {
    fn from(unsupported: Unsupported) -> Self {
        Self::of(Why::Unsupported(unsupported))
    }
}

/// A condition of the promise that did not come true in its time; one that nobody saw is not known to be false.
impl From<TimedOut> for Failure {
    fn from(timed_out: TimedOut) -> Self {
        if timed_out.blind { Self::broken(timed_out.to_string()) } else { Self::violated(timed_out.to_string()) }
    }
}

impl From<&ManifestError> for Failure {
    fn from(error: &ManifestError) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        // The set's own mistakes break its promises; a path that cannot be read tells nothing of them.
        let failure = if error.is_a_finding() { Self::violated(text) } else { Self::broken(text) };
        failure.standing_at([error.place()])
    }
}

impl From<crate::traffic::TrafficError> for Failure {
    fn from(error: crate::traffic::TrafficError) -> Self {
        Self::broken(chain(error))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::broken(chain(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_typed_failure_survives_cucumber_s_text() {
        within_scenario(async {
            let text = Failure::unsupported(Capability::PowerLoss, "no such disk").to_string();
            assert!(text.contains("power-loss"), "{text}");
            let outcome = Failure::take().expect("laid into the slot").at("Then x".into());
            assert!(matches!(outcome, Outcome::Unsupported { capability: Capability::PowerLoss, .. }));
            assert!(Failure::take().is_none(), "taken once");
        })
        .await;
    }

    #[test]
    fn a_condition_that_never_came_true_breaks_the_promise() {
        let seen = TimedOut {
            what: "Redis".into(),
            waited: std::time::Duration::from_secs(60),
            looks: 3,
            last: "0 of 1 ready".into(),
            blind: false,
        };
        let unseen = TimedOut { blind: true, ..seen.clone() };
        assert!(matches!(Failure::from(unseen).at(String::new()), Outcome::Broken { .. }), "nothing is known of what nobody saw");
        assert!(matches!(Failure::from(seen).at(String::new()), Outcome::Failed { message, .. } if message.contains("0 of 1 ready")));
    }
}
