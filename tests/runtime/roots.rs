//! What a container finds on its disk: its root, its volumes, and nothing of the machine that it should not see.

use crate::scene::{container, script};
use anyhow::{Result, ensure};
use redis_conformance::target::local::runtime::{ContainerSpec, Mount, Network, Sandbox, StartError, facts, storage};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

crate::tests![
    the_root_is_an_image_of_its_own,
    a_read_only_root_is_read_only,
    volumes_outlive_containers_and_need_no_mount_point,
    a_volume_may_be_memory,
    an_image_cannot_have_files_among_the_machines_programs,
    links_in_a_container_do_not_lead_out_of_it,
    a_program_is_for_every_user_wherever_it_lies,
];

async fn the_root_is_an_image_of_its_own() -> Result<()> {
    let network = Network::new("root").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let ask = "cat /etc/passwd | head -1; cat /etc/redis/extra.conf; stat -c '%a' /etc/redis/extra.conf /tmp /data; ls /home /opt | wc -l; \
               touch /usr/bin/x 2>/dev/null || echo kept; touch /new /usr/local/new /etc/new && echo written; command -v tool && tool; \
               cat /usr/local/etc/mine; head -c 4 /dev/zero | wc -c; ls -d /dev/pts/ptmx /dev/shm; test -e /work -o -e /boot || echo hidden";
    let said = script(&pod, "root", ask, |spec| {
        spec.root.files.insert("/etc/redis/extra.conf".into(), (b"maxclients 7\n".to_vec(), 0o640, 0, 0));
        spec.root.files.insert("/usr/local/etc/mine".into(), (b"mine\n".to_vec(), 0o644, 0, 0));
        spec.root.programs.insert("tool".into(), which::which("hostname").unwrap_or_default());
    })
    .await?;
    for line in [
        "root:x:0:0",
        "maxclients 7\n640\n1777\n777",
        "kept\nwritten\n/usr/local/bin/tool\npod\nmine\n4\n/dev/pts/ptmx\n/dev/shm\nhidden\n",
    ] {
        ensure!(said.contains(line), "no {line:?} in: {said}");
    }
    Ok(())
}

async fn a_read_only_root_is_read_only() -> Result<()> {
    let network = Network::new("read-only").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::directory("read-only-test", 0o777)?;
    let ask = "for at in / /tmp /etc /usr/local /mounted/kept; do touch $at/x 2>/dev/null && echo \"$at is writable\"; done; touch /mounted/volume/x /dev/shm/x /data/x && echo volume";
    let said = script(&pod, "read-only", ask, |spec| {
        spec.root.read_only = true;
        spec.mounts = vec![
            Mount { source: volume.clone(), target: "/mounted/volume".into(), read_only: false },
            Mount { source: volume.clone(), target: "/mounted/kept".into(), read_only: true },
        ];
    })
    .await?;
    ensure!(said == "volume\n", "{said}");
    storage::remove("read-only-test")?;
    Ok(())
}

async fn volumes_outlive_containers_and_need_no_mount_point() -> Result<()> {
    let network = Network::new("volumes").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::directory("kept", 0o777)?;
    fs::write(volume.join("file"), "one file\n")?;
    let mounts = |spec: &mut ContainerSpec| {
        spec.mounts = vec![
            Mount { source: volume.clone(), target: "/deep/down/volume".into(), read_only: false },
            Mount { source: volume.join("file"), target: "/etc/some/file.conf".into(), read_only: true },
        ];
    };
    script(&pod, "writer", "echo kept > /deep/down/volume/written; echo gone > /data/written", mounts).await?;
    let said = script(&pod, "reader", "cat /deep/down/volume/written /etc/some/file.conf; ls /data", mounts).await?;
    ensure!(said == "kept\none file\n", "{said}");
    storage::remove("kept")?;
    ensure!(storage::directory("../elsewhere", 0o755).is_err() && storage::remove("").is_err(), "names stay within");
    Ok(())
}

async fn a_volume_may_be_memory() -> Result<()> {
    let network = Network::new("memory-volume").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::memory("in-memory", 0o777, Some(1 << 20))?;
    let said = script(
        &pod,
        "memory-volume",
        "stat -f -c %T /fast; stat -c %a /fast; head -c 2000000 /dev/zero > /fast/x 2>/dev/null || echo full",
        |spec| {
            spec.mounts.push(Mount { source: volume.clone(), target: "/fast".into(), read_only: false });
        },
    )
    .await?;
    ensure!(said == "tmpfs\n777\nfull\n", "{said}");
    storage::remove("in-memory")?;
    ensure!(!volume.exists());
    Ok(())
}

async fn an_image_cannot_have_files_among_the_machines_programs() -> Result<()> {
    let network = Network::new("programs").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let mut spec = container("intruder", &["true"]);
    spec.root.files.insert("/usr/bin/mine".into(), (Vec::new(), 0o755, 0, 0));
    let refused = pod.start(spec).await;
    ensure!(matches!(refused, Err(StartError::Impossible(_))), "{refused:?}");
    Ok(())
}

async fn links_in_a_container_do_not_lead_out_of_it() -> Result<()> {
    let network = Network::new("links").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::directory("links", 0o777)?;
    std::os::unix::fs::symlink("/etc", volume.join("out"))?;
    let said = script(&pod, "links", "ls /etc/inside", |spec| {
        spec.mounts = vec![
            Mount { source: volume.clone(), target: "/links".into(), read_only: false },
            Mount { source: volume.clone(), target: "/links/out/inside".into(), read_only: false },
        ];
    })
    .await?;
    ensure!(said == "out\n", "{said}");
    ensure!(!std::path::Path::new("/etc/inside").exists(), "the machine's /etc is untouched");
    storage::remove("links")?;
    Ok(())
}

async fn a_program_is_for_every_user_wherever_it_lies() -> Result<()> {
    if facts().run_as_user.is_err() {
        return Ok(());
    }
    let network = Network::new("for-all").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    // Root's home is closed in every image; a build under `umask 077` makes programs that are closed themselves.
    let machine = tempfile::tempdir_in("/root").or_else(|_| tempfile::tempdir())?;
    for (name, directory, program) in [("open", 0o755, 0o755), ("in-closed", 0o700, 0o755), ("closed", 0o755, 0o700)] {
        let at = machine.path().join(name);
        fs::create_dir(&at)?;
        fs::write(at.join(name), "#!/bin/sh\nid -u\n")?;
        fs::set_permissions(at.join(name), Permissions::from_mode(program))?;
        fs::set_permissions(&at, Permissions::from_mode(directory))?;
        let said = script(&pod, name, &format!("{name} && {name}-too"), |spec| {
            spec.user = (999, 999, Vec::new());
            spec.root.programs.insert(name.into(), at.join(name));
            spec.root.programs.insert(format!("{name}-too"), at.join(name));
        })
        .await?;
        ensure!(said == "999\n999\n", "{name}: {said}");
    }
    Ok(())
}
