//! Redis ended: its pod deleted, its container killed, everything stopped and started; and how it comes back.

use crate::{
    fault::{self, Deletion},
    steps::{Failure, Step, World, promise::End},
    target::Kill,
    wait::{Look, Until},
};
use cucumber::{then, when};
use std::time::Duration;

impl World {
    async fn delete_redis_pod(&mut self, how: Deletion) -> Step {
        self.redis_is_about_to_end().await?;
        let pod = self.redis_pod().await?;
        self.a_fault_begins(&format!("pod {} deleted {how:?}", pod["metadata"]["name"]));
        self.fault.end = Some(match how {
            Deletion::InOrder => End::PodDeleted,
            Deletion::ByForce => End::PodDeletedByForce,
        });
        let target = self.target().await?;
        fault::delete_pod(target.as_ref(), &pod, how).await?;
        Ok(())
    }

    async fn kill_redis_container(&mut self, how: Kill) -> Step {
        self.redis_is_about_to_end().await?;
        let container = self.redis_container().await?;
        self.a_fault_begins(&format!("{container} killed {how:?}"));
        self.fault.end = Some(match how {
            Kill::Term => End::ContainerTerminated,
            Kill::Kill => End::ContainerKilled,
        });
        if how == Kill::Term {
            return self.end_as_the_kubelet_does(&container).await;
        }
        let target = self.target().await?;
        fault::kill_container(target.as_ref(), &container, how).await?;
        Ok(())
    }
}

#[when("the Redis pod is deleted")]
async fn the_redis_pod_is_deleted(world: &mut World) -> Step {
    world.delete_redis_pod(Deletion::InOrder).await
}

#[when("the Redis pod is deleted in order")]
async fn the_redis_pod_is_deleted_in_order(world: &mut World) -> Step {
    world.delete_redis_pod(Deletion::InOrder).await
}

#[when("the Redis pod is deleted by force")]
async fn the_redis_pod_is_deleted_by_force(world: &mut World) -> Step {
    world.delete_redis_pod(Deletion::ByForce).await
}

#[when("the Redis pod is killed")]
async fn the_redis_pod_is_killed(world: &mut World) -> Step {
    world.kill_redis_container(Kill::Kill).await
}

#[when("the Redis container is killed")]
async fn the_redis_container_is_killed(world: &mut World) -> Step {
    world.kill_redis_container(Kill::Kill).await
}

#[when("the Redis container is terminated")]
async fn the_redis_container_is_terminated(world: &mut World) -> Step {
    world.kill_redis_container(Kill::Term).await
}

#[then(expr = "Redis is ready again within {int} seconds")]
async fn redis_is_ready_again(world: &mut World, seconds: u64) -> Step {
    world.redis_becomes_ready(Some(Duration::from_secs(seconds))).await?;
    if let Some(began) = world.fault.began {
        world.note(format!("ready and answering {:.1} s after the fault", began.elapsed().as_secs_f64()));
    }
    Ok(())
}

#[then("Redis serves again within the time that its manifests give")]
async fn redis_serves_again(world: &mut World) -> Step {
    // The kubelet waits 10 s before it starts a container again that has ended before.
    let limit = world.start_limit()? + world.grace()? + Duration::from_secs(10);
    world.redis_becomes_ready(Some(limit)).await?;
    if let Some(began) = world.fault.began {
        world.note(format!(
            "serves again {:.1} s after the fault; its manifests give it {} s",
            began.elapsed().as_secs_f64(),
            limit.as_secs()
        ));
    }
    Ok(())
}

#[when("the whole cluster is stopped and started")]
async fn the_whole_cluster_is_restarted(world: &mut World) -> Step {
    world.redis_is_about_to_end().await?;
    let before = world.redis_pod().await?;
    let container = world.redis_container().await?;
    let target = world.target().await?;
    let process = target.process(&container).await?;
    world.a_fault_begins("everything stopped, only volumes kept");
    target.restart_everything().await?;
    let redis = world.redis()?;
    Until::within(Duration::from_secs(120))
        .on(target.changes())
        .met::<_, Failure, _>("another process of Redis than before the restart", || async {
            for pod in redis.pods(target.as_ref()).await? {
                if pod["metadata"]["uid"] != before["metadata"]["uid"] {
                    return Ok(Look::Ready(()));
                }
                if target.process(&redis.container_in(&pod)).await.is_ok_and(|now| now.started > process.started) {
                    return Ok(Look::Ready(()));
                }
            }
            Ok(Look::NotYet("the pod of before".into()))
        })
        .await
}
