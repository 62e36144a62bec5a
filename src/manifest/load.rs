//! From a path to a set: a file, a folder of files, or a kustomization.

use super::{
    ManifestError, ManifestSet, Place,
    files::{self, Tree},
    kustomization::Kustomization,
    kustomize,
    origin::{Naming, Origins},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

impl ManifestSet {
    /// Loads what `kubectl apply` would send for this path: a file, a folder with its sub-folders, or a kustomization, which kustomize itself renders.
    ///
    /// A folder that is no kustomization but holds one is that kustomization together with the files outside it.
    ///
    /// # Errors
    /// [`ManifestError`], naming what, where and the remedy; [`ManifestError::is_a_finding`] tells the set's mistakes from the caller's.
    pub async fn load(path: &Path) -> Result<Self, ManifestError> {
        let given = path.to_owned();
        let plan = blocking(path, move || plan(&given)).await?;
        let mut set = match plan.kustomization {
            None => Self::default(),
            Some(folder) => {
                let rendered = kustomize::render(&folder).await?;
                let given = path.to_owned();
                blocking(path, move || from_rendered(&given, &folder, &rendered)).await?
            }
        };
        let given = path.to_owned();
        blocking(path, move || {
            for file in &plan.files {
                set.read_in(&files::read_text(file)?, &files::normal(file))?;
            }
            set.settle();
            if set.objects.is_empty() {
                let why: Vec<String> = set.remarks.iter().take(3).map(|(place, words)| format!("{place}: {words}")).collect();
                let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
                return Err(ManifestError::Empty { path: given, why });
            }
            Ok(set)
        })
        .await
    }
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, ManifestError> + Send + 'static,
) -> Result<T, ManifestError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(ManifestError::Unreadable { path: path.to_owned(), cause: std::io::Error::other(error) }),
        },
    }
}

/// What is to be read for a path.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// The folder that kustomize renders, as the user would name it.
    kustomization: Option<PathBuf>,
    /// Files to be read as they are.
    files: Vec<PathBuf>,
}

fn plan(path: &Path) -> Result<Plan, ManifestError> {
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ManifestError::Missing { path: path.to_owned() }),
        Err(cause) => return Err(ManifestError::Unreadable { path: path.to_owned(), cause }),
    };
    if !about.is_dir() {
        if files::is_kustomization_file(path) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Ok(Plan { kustomization: Some(folder.to_owned()), files: Vec::new() });
        }
        return Ok(Plan { kustomization: None, files: vec![path.to_owned()] });
    }
    if files::kustomization_in(path).is_some() {
        return Ok(Plan { kustomization: Some(path.to_owned()), files: Vec::new() });
    }
    let tree = files::walk(path)?;
    let owned = |file: &Path| tree.kustomizations.iter().any(|folder| file.starts_with(folder));
    for chart in tree.charts.iter().filter(|chart| !owned(chart)) {
        refuse_chart(chart)?;
    }
    let (roots, referred) = roots(&tree)?;
    if roots.len() > 1 {
        return Err(ManifestError::Several { path: path.to_owned(), candidates: roots });
    }
    let files = tree.files.iter().filter(|file| !owned(file) && !referred.contains(&files::normal(file))).cloned().collect();
    Ok(Plan { kustomization: roots.into_iter().next(), files })
}

/// The kustomizations that no other one in the tree refers to, and everything that any of them refers to.
fn roots(tree: &Tree) -> Result<(Vec<PathBuf>, BTreeSet<PathBuf>), ManifestError> {
    let mut referred = BTreeSet::new();
    let mut components = BTreeSet::new();
    for folder in &tree.kustomizations {
        let Some(kustomization) = Kustomization::read(folder)? else { continue };
        if kustomization.is_component() {
            components.insert(folder.clone());
        }
        referred.extend(kustomization.references());
    }
    let is_root = |folder: &&PathBuf| !referred.contains(&files::normal(folder)) && !components.contains(*folder);
    Ok((tree.kustomizations.iter().filter(is_root).cloned().collect(), referred))
}

/// A chart whose templates are templates cannot be read before it is rendered.
fn refuse_chart(chart: &Path) -> Result<(), ManifestError> {
    for file in files::walk(&chart.join("templates"))?.files {
        let text = files::read_text(&file)?;
        if let Some((line, column)) =
            text.lines().zip(1..).find_map(|(line, number)| line.find("{{").map(|column| (number, column as u64 + 1)))
        {
            let place = Place { line, column, ..Place::of_file(files::normal(&file)) };
            return Err(ManifestError::Chart { place, chart: files::normal(chart) });
        }
    }
    Ok(())
}

fn from_rendered(given: &Path, folder: &Path, rendered: &kustomize::Rendered) -> Result<ManifestSet, ManifestError> {
    let file = files::kustomization_in(folder).unwrap_or_else(|| folder.to_owned());
    let mut set = ManifestSet::default();
    for words in &rendered.warnings {
        set.remark(Place::of_file(files::normal(&file)), words.clone());
    }
    // The places in kustomize's output say nothing to the user: the kustomization stands for them until the origin is found.
    set.read_in(&rendered.text, &file).map_err(|error| match error {
        ManifestError::NotYaml { words, .. } | ManifestError::NotAnObject { words, .. } => {
            ManifestError::Kustomize { path: file.clone(), words }
        }
        other => other,
    })?;
    let mut origins = Origins::new(Naming::new(given)?, folder, &rendered.rendered_in)?;
    for (place, _) in &mut set.remarks {
        *place = Place::of_file(&*place.file);
    }
    for object in &mut set.objects {
        origins.place(object);
    }
    Ok(set)
}
