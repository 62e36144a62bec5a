//! Lets kustomize render a kustomization, and keeps its words when it refuses; it interprets nothing.

use super::{ManifestError, files};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

/// A kustomization may fetch from the network; beyond this it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// What kustomize gave.
#[derive(Debug)]
pub(super) struct Rendered {
    /// A YAML stream.
    pub(super) text: String,
    /// The folder that origins are relative to.
    pub(super) rendered_in: PathBuf,
    /// What kustomize warned of.
    pub(super) warnings: Vec<String>,
}

/// Renders a folder, through a throw-away kustomization outside the user's tree that asks for each object's origin.
pub(super) async fn render(folder: &Path) -> Result<Rendered, ManifestError> {
    let program = Program::find().ok_or_else(|| ManifestError::NoKustomize { path: folder.to_owned() })?;
    let unreadable = |cause| ManifestError::Unreadable { path: folder.to_owned(), cause };
    let target = folder.canonicalize().map_err(unreadable)?;
    let wrapper = Wrapper::around(&target).map_err(|cause| ManifestError::Unreadable { path: std::env::temp_dir(), cause })?;
    match program.run(&wrapper.folder, folder).await? {
        Ok((text, warnings)) => Ok(Rendered { text, rendered_in: wrapper.folder.clone(), warnings }),
        // Once more without the wrapper: the words are then those that the user would get.
        Err(words_of_wrapper) => match program.run(folder, folder).await? {
            Ok((text, mut warnings)) => {
                warnings.push(format!("kustomize does not tell where objects come from: {words_of_wrapper}"));
                Ok(Rendered { text, rendered_in: wrapper.folder.clone(), warnings })
            }
            Err(words) => {
                Err(ManifestError::Kustomize { path: files::kustomization_in(folder).unwrap_or_else(|| folder.to_owned()), words })
            }
        },
    }
}

struct Program {
    path: PathBuf,
    arguments: &'static [&'static str],
}

impl Program {
    fn find() -> Option<Self> {
        let kubectl = kubectl().map(|path| Self { path, arguments: &["kustomize"] });
        kubectl.or_else(|| which::which("kustomize").ok().map(|path| Self { path, arguments: &["build"] }))
    }

    /// The output and the warnings, or kustomize's words.
    async fn run(&self, folder: &Path, asked: &Path) -> Result<Result<(String, Vec<String>), String>, ManifestError> {
        let mut command = tokio::process::Command::new(&self.path);
        command.args(self.arguments).arg(folder).stdin(Stdio::null()).kill_on_drop(true);
        let unreadable = |cause| ManifestError::Unreadable { path: self.path.clone(), cause };
        let Ok(output) = tokio::time::timeout(LIMIT, command.output()).await else {
            let words = format!("{} did not end within {} s", self.path.display(), LIMIT.as_secs());
            return Err(ManifestError::Kustomize { path: asked.to_owned(), words });
        };
        let output = output.map_err(unreadable)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Ok(Err(words_of(&errors)));
        }
        let warnings = errors.lines().map(|line| line.trim_start_matches("# ").trim().to_owned()).filter(|line| !line.is_empty()).collect();
        Ok(Ok((String::from_utf8_lossy(&output.stdout).into_owned(), warnings)))
    }
}

/// kustomize's own words, without what the logger of kubectl puts around them.
fn words_of(errors: &str) -> String {
    let errors = errors.trim();
    let line = errors.lines().find(|line| line.contains(" err=\"") || line.to_lowercase().starts_with("error:")).unwrap_or(errors);
    if let Some((_, quoted)) = line.split_once(" err=")
        && let Ok(words) = serde_json::from_str::<String>(quoted)
    {
        return words;
    }
    let bare = line.strip_prefix("error:").or_else(|| line.strip_prefix("Error:")).unwrap_or(errors).trim();
    if bare.is_empty() { "kustomize failed without a word".to_owned() } else { bare.to_owned() }
}

/// A kustomization of our own, gone when it is dropped.
struct Wrapper {
    folder: PathBuf,
}

impl Wrapper {
    fn around(target: &Path) -> std::io::Result<Self> {
        let top = std::env::temp_dir().canonicalize()?;
        // A process id is no name of its own among PID namespaces; the hasher's keys are random.
        let folder = top.join(format!("redis-conformance-kustomize-{:016x}", RandomState::new().build_hasher().finish()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let wrapper = Self { folder };
        let mut metadata = vec!["originAnnotations".to_owned()];
        // Only the outermost kustomization's buildMetadata counts, so the user's own is handed on.
        if let Ok(Some(kustomization)) = super::kustomization::Kustomization::read(target) {
            metadata.extend(kustomization.build_metadata().filter(|word| word == "managedByLabel"));
        }
        let resource = files::relative(&wrapper.folder, target);
        let content = serde_json::json!({"buildMetadata": metadata, "resources": [resource.to_string_lossy()]});
        std::fs::write(wrapper.folder.join("kustomization.yaml"), content.to_string())?;
        Ok(wrapper)
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a temporary folder stays behind");
        }
    }
}

/// The `kubectl` on the PATH, if there is one; not this program, which stands in for it within runbooks.
#[must_use]
pub fn kubectl() -> Option<PathBuf> {
    let real = |path: &PathBuf| path.canonicalize().ok();
    let ourselves = std::env::current_exe().ok().as_ref().and_then(real);
    which::which_all("kubectl").into_iter().flatten().find(|path| real(path) != ourselves)
}

/// The program that renders kustomizations here; `None` where neither `kubectl` nor `kustomize` is on the PATH.
#[must_use]
pub fn renderer() -> Option<PathBuf> {
    Program::find().map(|program| program.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_kustomize_alone() {
        let logged = "E1121 07:09:28.411063 13447 run.go:72] \"command failed\" err=\"accumulating resources: 'x \\\"y\\\"'\"\n";
        assert_eq!(words_of(logged), "accumulating resources: 'x \"y\"'");
        assert_eq!(words_of("Error: no such file\n"), "no such file");
        assert_eq!(words_of("error: no such file\n"), "no such file");
        assert_eq!(words_of("something\nelse"), "something\nelse");
        assert_eq!(words_of(""), "kustomize failed without a word");
    }
}
