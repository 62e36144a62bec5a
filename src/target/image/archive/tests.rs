//! An archive is read back as those who load it read it.

use super::{libraries::Form, *};
use rstest::{fixture, rstest};
use std::{io::Read as _, os::unix::fs::PermissionsExt as _};
use tar::Archive;
use tempfile::TempDir;

/// A folder with two programs of the same content, and an image of them.
struct Scene {
    folder: TempDir,
    image: Image,
}

#[fixture]
fn scene() -> Scene {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shell = which::which("sh").expect("a shell");
    fs::copy(&shell, folder.path().join("copy")).expect("copied");
    let programs = [("app", shell.clone()), ("app-entrypoint.sh", shell), ("../share/app", folder.path().join("copy"))];
    let image = Image {
        programs: programs.map(|(name, path)| (name.to_owned(), path)).into(),
        entrypoint: vec!["app-entrypoint.sh".into()],
        command: vec!["app".into(), "--all".into()],
        environment: vec![("PATH".into(), "/usr/local/bin:/bin".into()), ("APP".into(), "1".into())],
        directory: "/data".into(),
        user: (7, 8),
        directories: BTreeMap::from([(PathBuf::from("/data"), (0o750, 999, 1000))]),
        files: BTreeMap::from([(PathBuf::from("/etc/app/app.conf"), (b"all = yes\n".to_vec(), 0o640, 0, 1000))]),
        fixture: Some("app-fixture"),
    };
    Scene { folder, image }
}

impl Scene {
    fn write(&self, name: &str) -> (Archived, Vec<u8>) {
        let file = self.folder.path().join(name);
        let archived = write(&self.image, "example/app:1.0", None, &file).expect("written");
        (archived, fs::read(file).expect("there"))
    }

    /// What the layer holds, by path.
    fn layer(&self, tools: Option<&Path>) -> BTreeMap<String, Entry> {
        let mut bytes = Vec::new();
        Layer::of(&self.image, tools).expect("laid out").write(&mut bytes).expect("written");
        entries(&bytes)
    }

    fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("allowed");
        path
    }
}

#[derive(Debug)]
struct Entry {
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    time: u64,
    link: Option<PathBuf>,
    content: Vec<u8>,
}

fn entries(bytes: &[u8]) -> BTreeMap<String, Entry> {
    let mut archive = Archive::new(bytes);
    let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let link = entry.link_name().expect("a link or none").map(std::borrow::Cow::into_owned);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("read");
        let header = entry.header();
        let owner = (header.uid().expect("a user"), header.gid().expect("a group"));
        let (mode, time) = (header.mode().expect("a mode"), header.mtime().expect("a time"));
        (path, Entry { kind: header.entry_type(), mode, owner, time, link, content })
    };
    archive.entries().expect("an archive").map(read).collect()
}

fn json(entries: &BTreeMap<String, Entry>, path: &str) -> Value {
    serde_json::from_slice(&entries[path].content).expect("JSON")
}

/// Where the blob lies that a descriptor or a field names.
fn blob(digest: &Value) -> String {
    format!("blobs/{}", digest.as_str().expect("a digest").replace(':', "/"))
}

#[rstest]
fn docker_and_containerd_find_the_same_image(scene: Scene) {
    let (archived, bytes) = scene.write("app.tar");
    let archive = entries(&bytes);
    let beside: Vec<&String> = archive.keys().filter(|name| !name.starts_with("blobs/")).collect();
    assert_eq!(beside, ["index.json", "manifest.json", "oci-layout"]);
    assert_eq!(json(&archive, "oci-layout")["imageLayoutVersion"], "1.0.0");
    let blobs: Vec<_> = archive.iter().filter(|(path, entry)| path.starts_with("blobs/") && entry.kind == EntryType::Regular).collect();
    assert_eq!(blobs.len(), 3);
    for (path, entry) in blobs {
        assert_eq!(*path, format!("blobs/sha256/{:x}", Sha256::digest(&entry.content)));
    }
    let described = &json(&archive, "index.json")["manifests"][0];
    assert_eq!(described["annotations"]["io.containerd.image.name"], "docker.io/example/app:1.0");
    assert_eq!(described["annotations"]["org.opencontainers.image.ref.name"], "1.0");
    let manifest = json(&archive, &blob(&described["digest"]));
    let docker = &json(&archive, "manifest.json")[0];
    assert_eq!(docker["RepoTags"], json!(["example/app:1.0"]));
    assert_eq!(docker["Config"], blob(&manifest["config"]["digest"]));
    assert_eq!(docker["Layers"], json!([blob(&manifest["layers"][0]["digest"])]));
    for descriptor in [described, &manifest["config"], &manifest["layers"][0]] {
        let entry = &archive[&blob(&descriptor["digest"])];
        assert_eq!(descriptor["size"], entry.content.len());
    }
    assert_eq!((archived.name.as_str(), archived.length), ("docker.io/example/app:1.0", bytes.len() as u64));
    assert_eq!(archived.id, manifest["config"]["digest"]);
    let config = json(&archive, &blob(&manifest["config"]["digest"]));
    assert_eq!(config["rootfs"]["diff_ids"], json!([manifest["layers"][0]["digest"]]));
    let expected = json!({
        "User": "7:8", "Env": ["PATH=/usr/local/bin:/bin", "APP=1"], "Entrypoint": ["app-entrypoint.sh"], "Cmd": ["app", "--all"],
        "WorkingDir": "/data", "Volumes": { "/data": {} }, "Labels": { STANDS_FOR: "example/app:1.0", FIXTURE: "app-fixture" },
    });
    assert_eq!(config["config"], expected);
}

#[rstest]
fn the_same_programs_make_the_same_bytes(scene: Scene) {
    assert_eq!(scene.write("one.tar"), scene.write("two.tar"));
}

#[rstest]
#[case("data/", EntryType::Directory, 0o750, (999, 1000))]
#[case("tmp/", EntryType::Directory, 0o1777, (0, 0))]
#[case("etc/app/", EntryType::Directory, 0o755, (0, 0))]
#[case("etc/app/app.conf", EntryType::Regular, 0o640, (0, 1000))]
#[case("etc/passwd", EntryType::Regular, 0o644, (0, 0))]
#[case("usr/local/bin/app", EntryType::Regular, 0o755, (0, 0))]
#[case("usr/local/share/app", EntryType::Link, 0o755, (0, 0))]
#[case("var/run", EntryType::Symlink, 0o777, (0, 0))]
fn everything_lies_where_the_image_says(
    scene: Scene,
    #[case] path: &str,
    #[case] kind: EntryType,
    #[case] mode: u32,
    #[case] owner: (u64, u64),
) {
    let layer = scene.layer(None);
    let entry = layer.get(path).unwrap_or_else(|| panic!("{path} is not among {:?}", layer.keys()));
    assert_eq!((entry.kind, entry.mode, entry.owner, entry.time), (kind, mode, owner, 0));
}

#[rstest]
fn a_program_of_many_names_lies_there_once_and_is_called_by_each(scene: Scene) {
    let layer = scene.layer(None);
    for name in ["usr/local/bin/app-entrypoint.sh", "usr/local/share/app"] {
        assert_eq!(layer[name].kind, EntryType::Link, "a hard link: the program sees the name by which it was called");
        assert_eq!(layer[name].link.as_deref(), Some(Path::new("usr/local/bin/app")));
    }
    assert!(layer["usr/local/bin/app"].content.starts_with(b"\x7fELF"));
}

#[rstest]
fn the_libraries_of_a_program_come_with_it(scene: Scene) {
    let layer = scene.layer(None);
    let Form::Dynamic(libraries) = libraries::form(&scene.image.programs["app"]).expect("a program") else { return };
    assert!(!libraries.files.is_empty());
    for library in libraries.files {
        let entry = &layer[library.strip_prefix("/").expect("absolute").to_str().expect("text")];
        assert!(entry.kind == EntryType::Regular || entry.kind == EntryType::Link, "{}", library.display());
    }
}

#[rstest]
fn tools_are_links_to_one_busybox_and_hide_no_program(mut scene: Scene) {
    let busybox = scene.script("busybox", "#!/bin/sh\nprintf 'bin/sh\\nusr/bin/head\\nusr/local/bin/app\\n'\n");
    scene.image.programs.insert("start".into(), scene.script("start", "#!/bin/sh\nexec app\n"));
    let layer = scene.layer(Some(&busybox));
    for applet in ["bin/sh", "usr/bin/head"] {
        assert_eq!(layer[applet].link.as_deref(), Some(Path::new("/bin/busybox")));
    }
    assert_eq!(layer["usr/local/bin/app"].kind, EntryType::Regular);
    assert!(layer["bin/busybox"].content.starts_with(b"#!"));
}

#[rstest]
fn a_script_needs_tools_that_run_it(mut scene: Scene) {
    scene.image.programs.insert("start".into(), scene.script("start", "#!/bin/sh\nexec app\n"));
    let error = write(&scene.image, "app", None, &scene.folder.path().join("app.tar")).expect_err("no shell").to_string();
    assert!(error.contains("start") && error.contains("/bin/sh, which the image lacks"), "{error}");
}

#[rstest]
#[case::program("/no/such/program", None, "/no/such/program cannot be read")]
#[case::no_file("/", None, "/ cannot be read")]
#[case::tools("sh", Some("/no/such/busybox"), "/no/such/busybox cannot be read")]
fn what_cannot_be_read_is_told_with_its_path(mut scene: Scene, #[case] program: &str, #[case] tools: Option<&str>, #[case] expected: &str) {
    let program = which::which(program).unwrap_or_else(|_| program.into());
    scene.image.programs = BTreeMap::from([("app".into(), program)]);
    let file = scene.folder.path().join("app.tar");
    let error = write(&scene.image, "app", tools.map(Path::new), &file).expect_err("missing").to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!file.exists());
}

#[rstest]
fn an_archive_that_cannot_be_written_is_told_with_its_path(scene: Scene) {
    let error = write(&scene.image, "app", None, Path::new("/proc/app.tar")).expect_err("no file can be made there");
    assert!(error.to_string().contains("/proc/app.tar cannot be written"), "{error}");
}

#[test]
fn debugging_information_stays_here() {
    // This test's own program has some where tests are built as they usually are.
    let path = env::current_exe().expect("this program");
    let program = program::Program::open(&path).expect("read");
    let copy = tempfile::NamedTempFile::new().expect("a temporary file");
    let length = io::copy(&mut program.content().expect("read"), &mut copy.as_file()).expect("copied");
    assert_eq!(length, program.length());
    let (whole, left) = (fs::metadata(&path).expect("there").len(), copy.as_file());
    let original = elf::Elf::read(&File::open(&path).expect("read")).expect("an executable file");
    let read = elf::Elf::read(left).expect("still an executable file");
    assert_eq!((read.has_loader, read.without_debugging), (original.has_loader, None));
    assert_eq!(original.without_debugging.unwrap_or(whole), length);
}
