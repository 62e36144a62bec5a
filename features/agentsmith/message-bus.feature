Feature: Redis as the ephemeral message bus of agentsmith
  What the document "Redis Deployment + Service" promises: a bus that may lose its streams, but not its service.

  @BUS-1
  Rule: One replica of redis:7-alpine with 256mb, allkeys-lru and no snapshots, in agentsmith
    Section "Redis Deployment".

    Scenario: the manifests say so
      Given the manifests
      Then Redis has 1 replica in namespace "agentsmith"
      And its image is "redis:7-alpine"

    @shared
    Scenario Outline: the running Redis has <setting> "<value>"
      Given Redis runs from the manifests
      Then Redis answers CONFIG GET "<setting>" with "<value>"

      Examples:
        | setting          | value       |
        | maxmemory        | 268435456   |
        | maxmemory-policy | allkeys-lru |
        | save             |             |

  @BUS-2
  Rule: There is no persistent volume and no claim
    Section "No PersistentVolume".

    Scenario: no object is or asks for a volume that persists
      Given the manifests
      Then no object is a PersistentVolume or a claim, or asks for one

  @BUS-3
  Rule: Nothing is ever written to disk
    Section "No PersistentVolume": pure in-memory mode. Redis' own default would save after 60 s and 10,000 writes.

    @long
    Scenario: 20,000 writes, the time of the default rule, and a SIGTERM leave no file
      Given Redis runs from the manifests
      When 20000 keys are written
      And the 60 seconds of the default save rule have passed
      Then the data directory is empty
      When the Redis container is terminated
      Then the log of the ended Redis tells that it saved nothing

  @BUS-4
  Rule: A restart of Redis loses streams, groups and pending entries
    Section "Goal": in-flight jobs are lost, an accepted trade.

    Scenario Outline: the Redis pod is <ended>
      Given Redis runs from the manifests
      And clients have written streams with groups and pending entries
      When the Redis pod is <ended>
      Then Redis is ready again within 60 seconds
      And every acknowledged write is lost

      Examples:
        | ended   |
        | deleted |
        | killed  |

  @BUS-5
  Rule: After a restart clients connect again and new jobs run
    Section "Goal": the bus may lose its streams but not its service.

    Scenario: a job in flight is reported lost, a later one completes
      Given Redis runs from the manifests
      And the dispatcher is ready
      And a job is in flight
      When the Redis pod is deleted
      Then Redis is ready again within 60 seconds
      And the job in flight is reported lost
      And a new job completes

  @BUS-6
  Rule: Requests of 100m and 128Mi, limits of 500m and 384Mi leave head-room over 256mb
    Section "Definition of Done".

    Scenario: the manifests say so
      Given the manifests
      Then Redis requests "100m" of cpu and "128Mi" of memory
      And Redis is limited to "500m" of cpu and "384Mi" of memory

    @long
    Scenario: a full store under churn and with 64 MB of output buffers is not killed for memory
      Given Redis runs from the manifests
      And memory limits are enforced
      When the store is filled, fragmented, and clients hold 64 MB of unread replies
      Then Redis was not killed for memory
      And it is told how much more it takes until Redis is killed

  @BUS-7
  Rule: redis-cli ping decides on liveness (10/15/3) and readiness (5/10/3)
    Section "Redis Deployment".

    Scenario: the manifests say so
      Given the manifests
      Then the liveness probe runs "redis-cli ping" after 10, each 15 and for at most 3 seconds
      And the readiness probe runs "redis-cli ping" after 5, each 10 and for at most 3 seconds

    @long
    Scenario: a frozen Redis leaves the Service and is restarted in time
      Given Redis runs from the manifests
      When Redis is frozen
      Then it leaves the Service within the time that its readiness probe gives
      And it is restarted within the time that its liveness probe and grace period give
      And Redis is ready again within 60 seconds

  @BUS-8
  Rule: Redis runs as user 999, never as root, and cannot gain privileges
    Section "Redis Deployment".

    @shared
    Scenario: the process has that user and no way up
      Given Redis runs from the manifests
      And users are kept apart
      Then the process of Redis runs as user 999
      And it cannot gain privileges

    Scenario: the manifests forbid root
      Given the manifests
      Then Redis must not run as root and must not escalate its privileges

  @BUS-9
  Rule: Redis is reached inside the cluster only
    Section "Redis Service": never exposed outside.

    Scenario: nothing exposes it
      Given the manifests
      Then no object exposes Redis outside the cluster

  @BUS-10
  Rule: redis:6379 and redis.agentsmith.svc.cluster.local:6379 answer, and the secret says so
    Sections "Redis Service", "Connection String".

    @shared
    Scenario Outline: <host> answers from another pod
      Given Redis runs from the manifests
      Then PING from a client pod to "<host>" port 6379 is answered with PONG

      Examples:
        | host                               |
        | redis                              |
        | redis.agentsmith.svc.cluster.local |

    @shared
    Scenario: the secret's address answers
      Given Redis runs from the manifests
      Then the key "redis-url" of the secret "agentsmith-secrets" is "redis://redis:6379"
      And PING from a client pod to that address is answered with PONG

  @BUS-11
  Rule: Under pressure the least recently used keys go first, and writes go on
    Section "maxmemory-policy: allkeys-lru". "Old stream entries are evicted" is refuted: whole keys are.

    Scenario: idle keys are the large majority of what is evicted
      Given Redis runs from the manifests
      When keys are written until more than 1000 have been evicted, while half of the keys are read again and again
      Then no write was refused
      And at least 80 percent of the evicted keys had been idle
      And used memory stays within maxmemory and one write

    Scenario: a stream loses no single entry
      Given Redis runs from the manifests
      When streams are written until more than 1000 keys have been evicted
      Then each stream is whole or gone

  @BUS-12
  Rule: A job's stream lives two hours at most, and is deleted when the job ends
    Section "No PersistentVolume".

    Scenario: the time to live is set with the first entry and kept by the later ones
      Given Redis runs from the manifests
      And the dispatcher is ready
      When a job is in flight
      Then its stream has a time to live of at most 7200 seconds, which later entries do not renew

    Scenario: the stream is gone when the job is done
      Given Redis runs from the manifests
      And the dispatcher is ready
      When a job has completed
      Then its stream is gone

  @BUS-13
  Rule: The base lists its nine resources, and apply -k overlays/dev brings up a Redis that answers
    Sections "Registering in Kustomize Base", "Verification".

    Scenario: the base lists them
      Given the manifests
      Then the kustomization "base" lists
        | resource                       |
        | namespace.yaml                 |
        | redis/deployment.yaml          |
        | redis/service.yaml             |
        | dispatcher/deployment.yaml     |
        | dispatcher/service.yaml        |
        | rbac/serviceaccount.yaml       |
        | rbac/role.yaml                 |
        | rbac/rolebinding.yaml          |
        | configmap/agentsmith-config.yaml |

    Scenario: the development overlay answers
      When the variant "dev" is applied
      Then every pod has the account and the configuration that it asks for
      And Redis is ready within 60 seconds
      And PING from a client pod to "redis" port 6379 is answered with PONG

  @BUS-14
  Rule: Persistence can come later: append-only file and claim
    Section "No PersistentVolume": "one config change". Literally refuted: a volume of root's refuses user 999, and a rollout runs two Redis.

    Scenario: the literal change on a volume that belongs to root
      Given a cluster whose new volumes belong to root
      When the manifests are applied with the document's change alone
      Then Redis may not write and does not start, unless its manifests let it write to a volume of root's

    Scenario Outline: the variant with persistence keeps the streams when the Redis pod is <ended>
      Given a cluster whose new volumes belong to root
      And Redis runs from the variant "persistence"
      And clients have written streams with groups and pending entries
      When the Redis pod is <ended>
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

      Examples:
        | ended   |
        | deleted |
        | killed  |

    Scenario: the variant's rollout never runs two Redis
      Given Redis runs from the variant "persistence"
      And clients keep writing streams
      When Redis is rolled out anew
      Then never did two Redis serve at once

  @BUS-15
  Rule: One replica has no failover
    Section "Single Replica".

    Scenario: the bus is out until the pod is back
      Given Redis runs from the manifests
      And clients keep writing streams
      When the Redis pod is deleted
      Then Redis is ready again within 60 seconds
      And one single Redis answered at any time
      And clients were without Redis until the new pod was ready
