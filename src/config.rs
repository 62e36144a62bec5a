//! Reads `redis-conformance.yaml`: which systems there are, and which program stands for an image; unknown keys are errors.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The file's name in the current folder.
pub const FILE: &str = "redis-conformance.yaml";
/// More than any such file needs; what is longer is something else.
const MOST: u64 = 1 << 20;

/// What a user configures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Image as the manifests name it → program on this machine that stands for it.
    #[serde(default)]
    pub images: BTreeMap<String, PathBuf>,
    /// Name → where its features and manifests lie.
    #[serde(default)]
    pub systems: BTreeMap<String, SystemPaths>,
}

/// Where a system of the user's lies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemPaths {
    /// A folder of `.feature` files, or one.
    pub features: PathBuf,
    /// A file, a folder or a kustomization.
    pub manifests: PathBuf,
}

/// The config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the config file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
    /// It says something that is not known.
    #[error("{place}: {problem}; a config file has `images:` (image: program) and `systems:` (name: features, manifests)")]
    Invalid {
        /// File, line and column.
        place: String,
        /// The parser's words.
        problem: String,
    },
    /// It names a path that is not there.
    #[error("{}: {key} names {}, which does not exist", file.display(), path.display())]
    Missing {
        /// The config file.
        file: PathBuf,
        /// Which entry.
        key: String,
        /// The path.
        path: PathBuf,
    },
}

impl Config {
    /// The file that was named, or else the one in the current folder, or else an empty configuration.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read, has an unknown key, or names what is not there.
    pub fn find(named: Option<&Path>) -> Result<Self, ConfigError> {
        match named {
            Some(path) => Self::read(path),
            None if Path::new(FILE).exists() => Self::read(Path::new(FILE)),
            None => Ok(Self::default()),
        }
    }

    /// Reads a file; its paths are relative to it.
    ///
    /// # Errors
    /// As [`Config::find`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_path_buf(), cause };
        let length = fs::metadata(path).map_err(unreadable)?.len();
        if length > MOST {
            return Err(unreadable(io::Error::other(format!("it has {length} bytes; at most {MOST} are read"))));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mut config = Self::parse(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for (image, program) in &mut config.images {
            // A bare name is looked up in PATH by whoever starts it.
            if program.components().count() > 1 {
                *program = existing(folder, program, path, format!("images.{image}"))?;
            }
        }
        for (name, system) in &mut config.systems {
            system.features = existing(folder, &system.features, path, format!("systems.{name}.features"))?;
            system.manifests = existing(folder, &system.manifests, path, format!("systems.{name}.manifests"))?;
        }
        Ok(config)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if only_comments {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| {
            let place = match error.location() {
                Some(at) => format!("{}:{}:{}", path.display(), at.line(), at.column()),
                None => path.display().to_string(),
            };
            // The parser's own picture of the place would say it a second time.
            let words = error.without_snippet().to_string();
            let problem = words.lines().next().unwrap_or_default();
            let problem = problem.split_once(" at line ").map_or(problem, |(problem, _)| problem);
            ConfigError::Invalid { place, problem: problem.trim_start_matches("error: ").to_owned() }
        })
    }
}

fn existing(folder: &Path, path: &Path, file: &Path, key: String) -> Result<PathBuf, ConfigError> {
    let path = folder.join(path);
    if path.exists() { Ok(path) } else { Err(ConfigError::Missing { file: file.to_path_buf(), key, path }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["features", "k8s"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        let path = folder.path().join(FILE);
        fs::write(&path, "images:\n  registry.example/app:1: my-app\nsystems:\n  shop:\n    features: features\n    manifests: k8s\n")
            .expect("written");
        let config = Config::read(&path).expect("valid");
        assert_eq!(config.images["registry.example/app:1"], Path::new("my-app"));
        assert_eq!(config.systems["shop"].manifests, folder.path().join("k8s"));
    }

    #[rstest]
    #[case::unknown_key("image:\n  a: b\n", "c.yaml:1:1", "image")]
    #[case::unknown_key_below("systems:\n  shop:\n    features: f\n    manifest: k\n", "c.yaml:4:5", "manifest")]
    #[case::missing_key("systems:\n  shop:\n    features: f\n", "c.yaml:", "manifests")]
    #[case::no_map("- a\n", "c.yaml:1:", "")]
    #[case::no_yaml("images: [\n", "c.yaml:", "")]
    #[case::same_key_twice("images: {}\nimages: {}\n", "c.yaml:2:1", "images")]
    fn what_is_wrong_is_named_with_its_line(#[case] text: &str, #[case] place: &str, #[case] word: &str) {
        let error = Config::parse(text, Path::new("c.yaml")).expect_err("invalid").to_string();
        assert!(error.starts_with(place), "{error}");
        assert!(error.contains(word), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_file_of_comments_configures_nothing() {
        assert_eq!(Config::parse("# later\n\n", Path::new("c.yaml")).expect("valid"), Config::default());
    }

    #[test]
    fn a_path_that_is_not_there_is_named_with_its_key() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FILE);
        fs::write(&path, "images:\n  a: ./nothing\n").expect("written");
        let error = Config::read(&path).expect_err("missing").to_string();
        assert!(error.contains("images.a") && error.contains("nothing, which does not exist"), "{error}");
    }
}
