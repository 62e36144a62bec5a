Feature: Redis persistence for the MCP servers
  What the document "Redis Persistence Setup for MCP Servers" promises to everybody who registers a tenant.
  Process loss is not power loss: what is killed here keeps the machine's page cache.

  @MCP-P1
  Rule: The claim redis-data-pvc asks for 10Gi, for one writing node, and for the cluster's default class
    Section "Redis PersistentVolumeClaim".

    Scenario: it asks for 10Gi
      Given the manifests
      Then the claim "redis-data-pvc" in namespace "mcp" asks for "10Gi"

    Scenario: one node at a time may write
      Given the manifests
      Then the claim "redis-data-pvc" in namespace "mcp" has the only access mode "ReadWriteOnce"

    Scenario: the class is the cluster's default
      Given the manifests
      Then the claim "redis-data-pvc" in namespace "mcp" names no storage class

  @MCP-P2
  Rule: Redis mounts that claim at its data directory, and no emptyDir
    Section "Redis Deployment Update".

    Scenario: the claim is mounted where Redis saves
      Given the manifests
      Then Redis mounts the claim "redis-data-pvc" at its data directory

    @shared
    Scenario: the running Redis saves there
      Given Redis runs from the manifests
      Then the directory in which Redis saves lies on the claim "redis-data-pvc"

  @MCP-P3
  Rule: The append-only file is on, and on the claim
    Section "Redis Deployment Update", "Data Not Persisting".

    @shared
    Scenario: Redis says that it is on
      Given Redis runs from the manifests
      Then Redis answers CONFIG GET "appendonly" with "yes"

    @shared
    Scenario: it holds what clients wrote, on the claim
      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      Then the append-only files lie on the claim "redis-data-pvc" and hold bytes

    @shared
    Scenario: the file that the document tells to look for is not there
      The document expects appendonly.aof in /data. Since Redis 7 there is a folder, appendonlydir: refuted.

      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      Then the data directory holds "appendonlydir"
      And the data directory does not hold "appendonly.aof"

  @MCP-P4
  Rule: One apply brings up everything, the claim included
    Sections "Kustomization Update", "Apply Changes". That the claim must come before the Deployment is traced as not needed.

    Scenario: applied from nothing
      When the manifests are applied
      Then the claim "redis-data-pvc" in namespace "mcp" is bound within 60 seconds
      And Redis is ready within 60 seconds
      And clients reach Redis through a Service

    Scenario: the claim may come after the Deployment
      When the manifests are applied without the claim "redis-data-pvc"
      Then the Redis pod waits for its claim
      When the claim "redis-data-pvc" is applied as well
      Then Redis is ready within 60 seconds

  @MCP-P5
  Rule: A restart of the Redis pod keeps every tenant
    Section "Persistence Guarantees", "After (PVC)".

    Scenario Outline: the Redis pod is <ended> while tenants register
      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      And tenants keep registering
      When the Redis pod is <ended>
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

      Examples:
        | ended   |
        | deleted |
        | killed  |

    Scenario: a rollout never runs two Redis on the claim
      Given Redis runs from the manifests
      And tenants keep registering
      When Redis is rolled out anew
      Then never did two Redis serve at once
      And every acknowledged write is still there

    @long @disruptive
    Scenario: the node that runs Redis is lost and comes back
      Storage is bound to its node, as it is on most clusters' default class: the replacement waits for the node.

      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      When the node that runs Redis is lost
      Then the replacement is Pending, and the event tells that its volume is on another node
      When the lost node comes back
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

    @disruptive
    Scenario: the node that runs Redis is drained, as for an upgrade, and takes pods again
      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      When the node that runs Redis is drained
      Then the replacement is Pending, and the event tells that its volume is on another node
      When the drained node takes pods again
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

  @MCP-P6
  Rule: Before, with an emptyDir, a restart of the Redis pod lost the data
    Section "Persistence Guarantees", "Before (emptyDir)". Losing data is a guarantee too.

    Scenario: the Redis pod is deleted
      Given Redis runs from the variant "emptydir"
      And clients have written tenants to databases 0, 1 and 2
      When the Redis pod is deleted
      Then Redis is ready again within 60 seconds
      And every acknowledged write is lost

    Scenario: a mere restart of the container keeps it
      Given Redis runs from the variant "emptydir"
      And clients have written tenants to databases 0, 1 and 2
      When the Redis pod is killed
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

  @MCP-P8
  Rule: A restart of the cluster keeps the data
    Section "Persistence Guarantees": the claim survives.

    @disruptive
    Scenario: everything is stopped, only volumes are kept
      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      When the whole cluster is stopped and started
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

  @MCP-P9
  Rule: Each server has a database number and a port of its own, and the table says which
    Section "Redis Database Pattern": postgres 0 and 8001, minio 1 and 8002, pdf-generator 2 and 8003, calculator none and 8000; next is 3.

    Scenario: the table says what the document says
      Given the manifests
      Then the table in "REDIS_DATABASE_PATTERN.md" reads
        | Server        | Redis DB | Port |
        | postgres      | 0        | 8001 |
        | minio         | 1        | 8002 |
        | pdf-generator | 2        | 8003 |
        | calculator    | N/A      | 8000 |
      And the next available database in "REDIS_DATABASE_PATTERN.md" is 3

    Scenario: the servers are configured as the document says
      Given the manifests
      Then the servers use these databases
        | Port | Redis DB |
        | 8001 | 0        |
        | 8002 | 1        |
        | 8003 | 2        |
        | 8000 | none     |
      And no two servers share a database

  @MCP-P10
  Rule: Servers do not see each other's keys
    Section "Best Practices", "Database Isolation".

    Scenario: each server's keys are absent in every other server's database
      Given Redis runs from the manifests
      When each server's tenants are written to the database that it is configured for
      Then no server sees the keys of another

  @MCP-P12
  Rule: Another storage class is a change of one field
    Sections "Custom Storage Class", "Local Development".

    Scenario Outline: the variant "<class>" changes nothing else
      Given the manifests
      Then the variant "<class>" changes only the storage class of the claim "redis-data-pvc", to "<class>"

      Examples:
        | class      |
        | fast-ssd   |
        | local-path |

    Scenario Outline: the claim binds where the class "<class>" exists
      Given a cluster with the storage class "<class>"
      And Redis runs from the variant "<class>"
      Then the claim "redis-data-pvc" in namespace "mcp" is bound within 60 seconds
      And it is bound in the class "<class>"

      Examples:
        | class      |
        | fast-ssd   |
        | local-path |

    Scenario: elsewhere it stays Pending, and that is told
      Given a cluster without the storage class "fast-ssd"
      When the variant "fast-ssd" is applied
      Then the claim "redis-data-pvc" in namespace "mcp" is Pending, and the event names "fast-ssd"

  @MCP-P13
  Rule: Without a default class the claim stays Pending, and that is told
    Section "PVC Not Binding": the remedy is to set a class.

    @disruptive
    Scenario: the claim waits until a class is the default
      Given a cluster without a default storage class
      When the manifests are applied
      Then the claim "redis-data-pvc" in namespace "mcp" is Pending, and the event names "no storage class is set"
      When a default storage class is set
      Then the claim "redis-data-pvc" in namespace "mcp" is bound within 60 seconds
      And Redis is ready within 60 seconds

  @MCP-P14
  Rule: A backup by redis-cli --rdb can be brought back
    Section "Best Practices", "Backup Strategy". The document says how to save and not how to restore.

    Scenario Outline: a dump laid into the data directory is ignored while the append-only file is on, and the pod is <ended>
      Deleted in order, Redis saves its empty memory over the dump; killed, it leaves the dump there and does not read it.

      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      When the data is saved as the document says, deleted, and the dump is laid into the data directory
      And the Redis pod is <ended>
      Then Redis is ready again within 60 seconds
      And every acknowledged write is lost

      Examples:
        | ended   |
        | deleted |
        | killed  |

    Scenario: the runbook's backup and restore bring everything back
      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      When the runbook's "backup" is carried out
      And everything is deleted by FLUSHALL
      And the runbook's "restore" is carried out
      Then Redis is ready again within 60 seconds
      And every acknowledged write is still there

  @MCP-P15
  Rule: The claim grows to 20Gi by a patch where the class can grow, and is refused without harm elsewhere
    Section "Best Practices", "Storage Scaling".

    Scenario: the claim is patched to 20Gi
      Given Redis runs from the manifests
      And clients have written tenants to databases 0, 1 and 2
      When the claim "redis-data-pvc" in namespace "mcp" is patched to "20Gi"
      Then it has grown, or the patch was refused with a reason
      And every acknowledged write is still there
