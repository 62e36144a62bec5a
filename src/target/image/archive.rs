//! Images as archives: one file that is an OCI image layout and a `docker load` archive at once.
//!
//! Docker, `kind load image-archive`, `k3d image import` and `ctr images import` take it, where nothing can be pulled. The same
//! programs make the same bytes.

mod elf;
mod layer;
mod libraries;
mod program;
mod tools;

use super::{Image, reference};
use layer::Layer;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// When everything was made: no clock may change the bytes.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// Says of an image, wherever it turns up, that it is none of a registry's.
const STANDS_FOR: &str = "redis-conformance.io/stands-for";
const FIXTURE: &str = "redis-conformance.io/fixture";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The image's name in full, as containerd and the kubelet know it: `docker.io/library/redis:7-alpine`.
    pub name: String,
    /// The digest of its configuration, which is Docker's and the kubelet's id of the image: `sha256:…`.
    pub id: String,
    /// The archive's bytes.
    pub length: u64,
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An image cannot be called that.
    #[error("no image of this machine's programs can be called {reference}: {reason}")]
    Reference {
        /// As it was given.
        reference: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A program, or a library of one, is not there or is not for us to read.
    #[error("the program {} cannot be read", path.display())]
    Unreadable {
        /// Where it should lie.
        path: PathBuf,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
    /// A program that would not run.
    #[error("the program {} cannot be put into an image: {reason}", path.display())]
    Unusable {
        /// The program.
        path: PathBuf,
        /// Why, and what would help.
        reason: String,
    },
    /// The archive's file.
    #[error("the archive {} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
}

/// Writes an archive of `image`, called `reference`, to `file`; `tools` is a busybox that gives it a shell. Blocks for seconds where programs are large.
///
/// # Errors
/// [`ArchiveError`]; a file that was there before is then still what it was.
pub fn write(image: &Image, reference: &str, tools: Option<&Path>, file: &Path) -> Result<Archived, ArchiveError> {
    let names = reference::names(reference).map_err(|reason| ArchiveError::Reference { reference: reference.to_owned(), reason })?;
    let unwritable = |cause| ArchiveError::Unwritable { path: file.to_path_buf(), cause };
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(unwritable(io::Error::other("it is no regular file")));
    }
    let contents = Contents::of(image, &names, Layer::of(image, tools)?).map_err(unwritable)?;
    // Whoever looks sees the whole archive or none. A link stays one.
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let mut partial = place.clone().into_os_string();
    partial.push(".part");
    let written = File::create(&partial).and_then(|out| contents.write(out)).and_then(|length| {
        fs::rename(&partial, &place)?;
        Ok(length)
    });
    match written {
        Ok(length) => Ok(Archived { name: names.full, id: contents.config.digest(), length }),
        Err(cause) => {
            // What was written of it is of no use; that it cannot be removed is no news besides.
            let _ = fs::remove_file(&partial);
            Err(unwritable(cause))
        }
    }
}

/// Everything that the archive holds.
struct Contents {
    layer: Layer,
    layer_blob: Blob,
    config: Blob,
    manifest: Blob,
    /// Files beside the blobs.
    files: BTreeMap<&'static str, Vec<u8>>,
}

/// Something that is called by its content's digest.
struct Blob {
    /// Nothing for the layer, which is too large to be kept.
    content: Vec<u8>,
    digest: String,
    length: u64,
}

impl Blob {
    fn of(value: &Value) -> Self {
        let content = value.to_string().into_bytes();
        Self { digest: format!("{:x}", Sha256::digest(&content)), length: content.len() as u64, content }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest(), "size": self.length })
    }
}

impl Contents {
    fn of(image: &Image, names: &reference::Names, layer: Layer) -> io::Result<Self> {
        // Written twice: first to nowhere, for the digest that all else must name.
        let mut through = Digesting::new(io::sink());
        layer.write(&mut through)?;
        let (digest, length) = through.finish();
        let layer_blob = Blob { content: Vec::new(), digest, length };
        let config = Blob::of(&configuration(image, names, &layer_blob.digest()));
        let manifest = Blob::of(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer_blob.descriptor(LAYER)],
        }));
        let mut described = manifest.descriptor(MANIFEST);
        described["annotations"] = json!({
            "io.containerd.image.name": names.full,
            "org.opencontainers.image.ref.name": names.tag,
        });
        described["platform"] = json!({ "architecture": architecture(), "os": "linux" });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [described] });
        // As `docker save` has it since Docker 25.
        let docker = json!([{
            "Config": config.path(),
            "RepoTags": [names.familiar],
            "Layers": [layer_blob.path()],
            "LayerSources": { layer_blob.digest(): layer_blob.descriptor(LAYER) },
        }]);
        let files = BTreeMap::from([
            ("index.json", index.to_string().into_bytes()),
            ("manifest.json", docker.to_string().into_bytes()),
            ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes()),
        ]);
        Ok(Self { layer, layer_blob, config, manifest, files })
    }

    /// Writes the archive, blobs first.
    fn write(&self, out: File) -> io::Result<u64> {
        let mut archive = Builder::new(BufWriter::new(out));
        for directory in ["blobs/", "blobs/sha256/"] {
            archive.append_data(&mut header(EntryType::Directory, 0o755, 0), directory, io::empty())?;
        }
        let mut blobs = [&self.layer_blob, &self.config, &self.manifest];
        blobs.sort_by(|left, right| left.digest.cmp(&right.digest));
        for blob in blobs {
            let mut header = header(EntryType::Regular, 0o644, blob.length);
            if !blob.content.is_empty() {
                archive.append_data(&mut header, blob.path(), blob.content.as_slice())?;
                continue;
            }
            header.set_path(blob.path())?;
            header.set_cksum();
            archive.get_mut().write_all(header.as_bytes())?;
            let mut through = Digesting::new(archive.get_mut());
            // A layer is a whole number of blocks, so that nothing comes after it.
            self.layer.write(&mut through)?;
            if through.finish() != (blob.digest.clone(), blob.length) {
                return Err(io::Error::other("a program changed while it was read; try again"));
            }
        }
        for (name, content) in &self.files {
            archive.append_data(&mut header(EntryType::Regular, 0o644, content.len() as u64), name, content.as_slice())?;
        }
        let out = archive.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(out.metadata()?.len())
    }
}

/// How the image is run, as `docker inspect` shows it.
fn configuration(image: &Image, names: &reference::Names, layer: &str) -> Value {
    let mut config = Map::new();
    if image.user != (0, 0) {
        config.insert("User".into(), format!("{}:{}", image.user.0, image.user.1).into());
    }
    let environment: Vec<String> = image.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    config.insert("Env".into(), json!(environment));
    config.insert("Entrypoint".into(), json!(image.entrypoint));
    config.insert("Cmd".into(), json!(image.command));
    config.insert("WorkingDir".into(), json!(image.directory));
    if !image.directories.is_empty() {
        let volumes: Map<String, Value> = image.directories.keys().map(|path| (path.display().to_string(), json!({}))).collect();
        config.insert("Volumes".into(), Value::Object(volumes));
    }
    let mut labels = json!({ STANDS_FOR: names.familiar });
    if let Some(fixture) = image.fixture {
        labels[FIXTURE] = fixture.into();
    }
    config.insert("Labels".into(), labels);
    json!({
        "architecture": architecture(),
        "config": config,
        "created": CREATED,
        "history": [{ "created": CREATED, "created_by": format!("redis-conformance image {}", names.familiar) }],
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    })
}

/// This machine's architecture in Go's words, which images use.
fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        same => same,
    }
}

/// An entry of root's, without a time.
fn header(kind: EntryType, mode: u32, length: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(length);
    for set in [Header::set_uid, Header::set_gid, Header::set_mtime] {
        set(&mut header, 0);
    }
    header
}

/// Takes the digest of what goes through, and counts it.
struct Digesting<W> {
    out: W,
    hash: Sha256,
    length: u64,
}

impl<W: Write> Digesting<W> {
    fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), length: 0 }
    }

    fn finish(self) -> (String, u64) {
        (format!("{:x}", self.hash.finalize()), self.length)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
