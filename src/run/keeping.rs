//! Which scenarios stay up after their end, so that a person can look at them; it shows nothing.

use super::Case;
use crate::{
    steps::{Step, World},
    target::{ContainerRef, Target},
    verdict::{Outcome, ScenarioResult},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    sync::Arc,
};

/// Keeps scenarios that did not hold, up to a number and one repetition of each.
#[derive(Default)]
pub struct Keeping {
    most: usize,
    /// System, guarantee and scenario: a second repetition of what is kept already shows nothing new.
    chosen: RefCell<BTreeSet<[String; 3]>>,
    kept: RefCell<Vec<Kept>>,
    let_go: Cell<usize>,
}

/// A scenario that stays up.
pub struct Kept {
    /// What became of it.
    pub result: ScenarioResult,
    world: World,
}

impl Keeping {
    /// Keeps at most so many; none with 0, which is how runs usually are.
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Whether a scenario that has ended so is to stay up: it is violated or broken, there is something to look at, it keeps no others
    /// waiting, and there is room.
    pub(super) fn takes(&self, case: &Case, outcome: &Outcome, stands: bool, holds_others_up: bool) -> bool {
        if self.most == 0 || !stands || !matches!(outcome, Outcome::Failed { .. } | Outcome::Broken { .. }) {
            return false;
        }
        let scenario = [case.subject.system.name.clone(), case.guarantee.clone(), case.scenario.name.clone()];
        let mut chosen = self.chosen.borrow_mut();
        let takes = !holds_others_up && chosen.len() < self.most && chosen.insert(scenario);
        if !takes {
            self.let_go.set(self.let_go.get() + 1);
        }
        takes
    }

    /// Takes it in, once its evidence is written.
    pub(super) fn keep(&self, result: ScenarioResult, world: World) {
        self.kept.borrow_mut().push(Kept { result, world });
    }

    /// What stays up, in the order of the ends, now in the hands of the caller, who takes it down.
    #[must_use]
    pub fn take(&self) -> Vec<Kept> {
        self.kept.take()
    }

    /// How many were taken down since there was no room, since another repetition of theirs is kept, or since all others waited for them.
    #[must_use]
    pub fn let_go(&self) -> usize {
        self.let_go.get()
    }
}

impl Kept {
    /// Where it runs, and the container of Redis there as it is now, as far as there are any.
    pub async fn look(&mut self) -> Option<(Arc<dyn Target>, Option<ContainerRef>)> {
        self.world.look().await
    }

    /// Takes it down.
    ///
    /// # Errors
    /// A failure when something of it stays.
    pub async fn down(mut self) -> Step {
        self.world.down().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::Place,
        run::Subject,
        spec::{Scenario, System},
    };

    fn case(guarantee: &str, repetition: usize) -> Case {
        let system = System { name: "shop".into(), documents: Vec::new(), tree: "k8s".into(), manifests: "k8s".into() };
        Case {
            subject: Subject::new(system),
            feature: "A document".into(),
            guarantee: guarantee.into(),
            promise: "A promise".into(),
            scenario: Arc::new(Scenario { name: "a scenario".into(), place: Place::default(), steps: Vec::new(), tags: Vec::new() }),
            redis: None,
            mutant: None,
            repetition,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed { step: "Then x".into(), message: "seen y".into() }
    }

    #[test]
    fn what_did_not_hold_stays_and_nothing_else() {
        let keeping = Keeping::at_most(9);
        let broken = Outcome::Broken { step: "Then x".into(), message: "no eyes".into() };
        assert!(keeping.takes(&case("A-1", 1), &failed(), true, false) && keeping.takes(&case("A-2", 1), &broken, true, false));
        for outcome in [Outcome::Passed, Outcome::Skipped { reason: "interrupted".into() }] {
            assert!(!keeping.takes(&case("A-3", 1), &outcome, true, false), "{outcome:?}");
        }
        assert!(!keeping.takes(&case("A-4", 1), &failed(), false, false), "manifests alone leave nothing to look at");
        assert_eq!(keeping.let_go(), 0);
        assert!(!keeping.takes(&case("A-5", 1), &failed(), true, true), "all others would wait for it");
        assert_eq!(keeping.let_go(), 1);
    }

    #[test]
    fn there_is_room_for_a_number_of_scenarios_with_one_repetition_each() {
        let keeping = Keeping::at_most(2);
        let kept: Vec<bool> = [("A-1", 1), ("A-1", 2), ("A-2", 1), ("A-3", 1)]
            .into_iter()
            .map(|(guarantee, repetition)| keeping.takes(&case(guarantee, repetition), &failed(), true, false))
            .collect();
        assert_eq!((kept, keeping.let_go()), (vec![true, false, true, false], 2));
    }

    #[test]
    fn a_usual_run_keeps_nothing() {
        let keeping = Keeping::default();
        assert!(!keeping.takes(&case("A-1", 1), &failed(), true, false));
        assert_eq!(keeping.let_go(), 0);
    }
}
