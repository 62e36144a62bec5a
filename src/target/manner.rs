//! What a scenario may do to the place where it runs; the same on every target, so that a tag that is missing shows on each.

use super::TargetError;

/// How a scenario deals with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It looks: others look at the same deployment.
    Looks,
    /// It changes what is its own: others run on the same cluster.
    Changes,
    /// It has the cluster for itself, and disturbs everything there.
    Disturbs,
}

impl Manner {
    /// Whether a verb that needs this manner may be used.
    ///
    /// # Errors
    /// [`TargetError::Broken`] with the tag that the scenario lacks or should not have.
    pub fn may(self, verb: &str, needed: Self) -> Result<(), TargetError> {
        let remedy = match (self, needed) {
            (Self::Looks, Self::Changes | Self::Disturbs) => {
                "scenarios tagged @shared look at one deployment together and change nothing of it; take the tag away"
            }
            (Self::Changes, Self::Disturbs) => "it disturbs everything on the cluster; tag the scenario @disruptive, and it runs alone",
            _ => return Ok(()),
        };
        Err(TargetError::broken(format!("{verb} is refused"), anyhow::anyhow!(remedy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_changes_nothing_and_only_who_is_alone_disturbs() {
        let all = [Manner::Looks, Manner::Changes, Manner::Disturbs];
        for (own, allowed) in all.into_iter().zip([1, 2, 3]) {
            let may = all.into_iter().filter(|needed| own.may("verb", *needed).is_ok()).count();
            assert_eq!(may, allowed, "{own:?}");
        }
        let told = format!("{:#}", anyhow::Error::from(Manner::Changes.may("stop_node", Manner::Disturbs).expect_err("refused")));
        assert!(told.starts_with("stop_node is refused") && told.contains("@disruptive"), "{told}");
    }
}
