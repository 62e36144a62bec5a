Feature: What a Redis keeps
  For any manifest set: does it keep what it acknowledged? Where the manifests promise nothing, what is lost is stated and nothing fails.
  A claim under the data directory promises to outlive the pod, an emptyDir the container; the append-only file promises it for every end, a snapshot at shutdown only for an orderly one.

  @GEN-1
  Rule: What Redis acknowledged outlives a restart of its container as far as the manifests promise

    Scenario Outline: the container is <ended>
      Given Redis runs from the manifests
      And clients have written to it
      When the Redis container is <ended>
      Then Redis serves again within the time that its manifests give
      And what was acknowledged is kept as far as the manifests promise

      Examples:
        | ended      |
        | terminated |
        | killed     |

  @GEN-2
  Rule: What Redis acknowledged outlives the deletion of its pod as far as the manifests promise

    Scenario Outline: the pod is deleted <how>
      Given Redis runs from the manifests
      And clients have written to it
      When the Redis pod is deleted <how>
      Then Redis serves again within the time that its manifests give
      And what was acknowledged is kept as far as the manifests promise

      Examples:
        | how      |
        | in order |
        | by force |

  @GEN-3
  Rule: What Redis acknowledged outlives the loss of its node as far as the manifests promise

    @long @disruptive
    Scenario: the node is lost and comes back
      Given Redis runs from the manifests
      And clients have written to it
      When the node that runs Redis is lost
      And the lost node comes back
      Then Redis serves again within the time that its manifests give
      And what was acknowledged is kept as far as the manifests promise
