//! Where cases run: each in a place of its own, and those that only look in one together; what they do there is not known here.

use super::{Case, Provider};
use crate::target::{Manner, Target, TargetError};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::OnceCell;

/// The tag of scenarios that disturb everything that runs on the same cluster: the loss of a node, another default class.
pub const DISRUPTIVE: &str = "disruptive";
/// The tag of scenarios that change nothing of the deployment they look at, keys of their own apart, so that one serves them all.
pub const SHARED: &str = "shared";

impl Case {
    /// What its scenario may do, as the tags say.
    #[must_use]
    pub fn manner(&self) -> Manner {
        if self.is_tagged(DISRUPTIVE) {
            Manner::Disturbs
        } else if self.is_tagged(SHARED) {
            Manner::Looks
        } else {
            Manner::Changes
        }
    }
}

/// What cases must have in common to share a place: the manifests, what changes them, and which of several runs it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deployment {
    system: String,
    mutant: Option<(&'static str, &'static str)>,
    repetition: usize,
}

impl Deployment {
    /// `None` for a case that has a place of its own.
    fn of(case: &Case) -> Option<Self> {
        let mutant = case.mutant.map(|mutant| (mutant.guarantee, mutant.name));
        (case.manner() == Manner::Looks).then(|| Self { system: case.subject.system.name.clone(), mutant, repetition: case.repetition })
    }
}

/// A place that several cases share.
#[derive(Default)]
struct Common {
    /// Cases that have not given it back, begun or not.
    users: usize,
    target: Arc<OnceCell<Arc<dyn Target>>>,
}

/// The places of a run.
pub struct Places {
    provider: Arc<dyn Provider>,
    common: Mutex<BTreeMap<Deployment, Common>>,
    /// Cases that have a cluster for themselves and have not given it back, begun or not.
    disturbing: AtomicUsize,
}

impl Places {
    /// Places for these cases; each case gives back once, whether it has taken any or not.
    #[must_use]
    pub fn of(provider: Arc<dyn Provider>, cases: &[Case]) -> Self {
        let mut common: BTreeMap<Deployment, Common> = BTreeMap::new();
        for deployment in cases.iter().filter_map(Deployment::of) {
            common.entry(deployment).or_default().users += 1;
        }
        let disturbing = cases.iter().filter(|case| case.manner() == Manner::Disturbs).count();
        Self { provider, common: Mutex::new(common), disturbing: AtomicUsize::new(disturbing) }
    }

    /// Whether a case that keeps its place keeps others waiting: on a cluster that all share, some wait until nobody else has a place.
    pub(super) fn are_waited_for(&self) -> bool {
        self.provider.is_shared() && self.disturbing.load(Ordering::Relaxed) > 0
    }

    /// Where a case runs.
    ///
    /// # Errors
    /// [`TargetError`] when there is no place to be had.
    pub async fn take(&self, case: &Case) -> Result<Arc<dyn Target>, TargetError> {
        let Some(deployment) = Deployment::of(case) else {
            return self.provider.start(&case.slug(), case.manner() == Manner::Disturbs).await;
        };
        let cell = self.common().get(&deployment).map(|common| Arc::clone(&common.target));
        let cell = cell.ok_or_else(|| TargetError::Missing(format!("place of {}, which was given back", case.slug())))?;
        let name = case.slug();
        cell.get_or_try_init(|| self.provider.start(&name, false)).await.cloned()
    }

    /// The case needs its place no more: what is its own goes down, what it shares when it was the last.
    ///
    /// # Errors
    /// Something of it stays.
    pub async fn give_back(&self, case: &Case, target: Option<Arc<dyn Target>>) -> Result<(), TargetError> {
        if case.manner() == Manner::Disturbs {
            self.disturbing.fetch_sub(1, Ordering::Relaxed);
        }
        let target = match Deployment::of(case) {
            None => target,
            Some(deployment) => self.left_by_the_last(&deployment),
        };
        match target {
            None => Ok(()),
            Some(target) => target.down().await,
        }
    }

    fn left_by_the_last(&self, deployment: &Deployment) -> Option<Arc<dyn Target>> {
        let mut all = self.common();
        let common = all.get_mut(deployment)?;
        common.users -= 1;
        if common.users > 0 {
            return None;
        }
        all.remove(deployment)?.target.get().cloned()
    }

    fn common(&self) -> MutexGuard<'_, BTreeMap<Deployment, Common>> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The order in which cases begin, by their index. Those that need a cluster for themselves come first, while there is nobody to wait for;
/// then the long ones; those that share a place follow each other, so that nobody who waits for them keeps them from coming to an end.
pub(super) fn order(cases: &[Case]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_cached_key(|&index| {
        let case = &cases[index];
        let deployment = Deployment::of(case);
        let rank = match &deployment {
            Some(_) => 2,
            None if case.manner() == Manner::Disturbs => 0,
            None if case.is_tagged("long") => 1,
            None => 3,
        };
        (rank, deployment)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::Place,
        run::Subject,
        spec::{Scenario, System},
        target::fake::Fake,
    };
    use async_trait::async_trait;

    /// Counts what it gives.
    #[derive(Default)]
    struct Counting {
        given: Mutex<Vec<Arc<Fake>>>,
    }

    #[async_trait]
    impl Provider for Counting {
        async fn start(&self, _name: &str, _alone: bool) -> Result<Arc<dyn Target>, TargetError> {
            let target = Arc::new(Fake::default());
            self.given.lock().expect("free").push(Arc::clone(&target));
            Ok(target)
        }
    }

    impl Counting {
        fn downs(&self) -> Vec<usize> {
            self.given.lock().expect("free").iter().map(|target| target.downs.load(Ordering::Relaxed)).collect()
        }
    }

    fn case(name: &str, repetition: usize, tags: &[&str]) -> Case {
        let system = System { name: "shop".into(), documents: Vec::new(), tree: "k8s".into(), manifests: "k8s".into() };
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Case {
            subject: Subject::new(system),
            feature: "A document".into(),
            guarantee: "A-1".into(),
            promise: "A promise".into(),
            scenario: Arc::new(Scenario { name: name.into(), place: Place::default(), steps: Vec::new(), tags }),
            redis: None,
            mutant: None,
            repetition,
        }
    }

    #[tokio::test]
    async fn who_only_looks_shares_a_place_which_goes_with_the_last() {
        let cases = [case("a", 1, &["shared"]), case("b", 1, &["shared"]), case("c", 1, &[]), case("a", 2, &["shared"])];
        let provider = Arc::new(Counting::default());
        let places = Places::of(provider.clone(), &cases);
        let mut taken = Vec::new();
        for case in &cases {
            taken.push(places.take(case).await.expect("a place"));
        }
        assert_eq!(provider.downs(), [0, 0, 0], "one for two cases, and one for each of the others");
        let give = |index: usize| places.give_back(&cases[index], Some(Arc::clone(&taken[index])));
        give(0).await.expect("back");
        assert_eq!(provider.downs(), [0, 0, 0], "somebody is looking still");
        give(2).await.expect("back");
        give(1).await.expect("back");
        assert_eq!(provider.downs(), [1, 1, 0]);
        give(3).await.expect("back");
        assert_eq!(provider.downs(), [1, 1, 1]);
    }

    #[tokio::test]
    async fn who_was_never_begun_holds_nothing_up() {
        let cases = [case("a", 1, &["shared"]), case("b", 1, &["shared"])];
        let provider = Arc::new(Counting::default());
        let places = Places::of(provider.clone(), &cases);
        let taken = places.take(&cases[0]).await.expect("a place");
        places.give_back(&cases[1], None).await.expect("back");
        places.give_back(&cases[0], Some(taken)).await.expect("back");
        assert_eq!(provider.downs(), [1]);
    }

    #[test]
    fn who_needs_the_cluster_comes_first_and_who_shares_follows_each_other() {
        let tags: [&[&str]; 7] = [&[], &["shared"], &["long"], &["shared"], &[], &["long", "disruptive"], &["shared"]];
        let repetitions = [1, 1, 1, 2, 1, 1, 1];
        let cases: Vec<Case> = tags.iter().zip(repetitions).map(|(tags, repetition)| case("a", repetition, tags)).collect();
        assert_eq!(order(&cases), [5, 2, 1, 6, 3, 0, 4]);
    }
}
