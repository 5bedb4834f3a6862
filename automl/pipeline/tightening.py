"""What follows where an exported file is slower than was asked: a smaller policy, which is trained and exported anew.

The candidates were timed before the training, so this is rare: the machine was in another state then.
"""

from pathlib import Path

from automl.core.policy import CompressionPolicy
from automl.pipeline.settling import moved
from automl.pipeline.subject import Subject
from automl.store.files import read_json, write_json
from automl.store.run import Run


def tightened(run: Run, policy: CompressionPolicy) -> CompressionPolicy:
    """What earlier attempts, of this session or another one, made of `policy`; itself where there were none."""
    smaller = _read(_path(run))
    seen = set[str]()
    while policy.digest() in smaller and policy.digest() not in seen:
        seen.add(policy.digest())
        policy = smaller[policy.digest()]
    return policy


def tighten(run: Run, subject: Subject, policy: CompressionPolicy, measured_ms: float) -> CompressionPolicy | None:
    """The policy nearest to one that is too slow which keeps the latency budget, if predictions miss as much for it.

    Args:
        run: Remembers it, so that a resumed run does not train the slow one again.
        subject: Has a latency budget.
        policy: What was exported.
        measured_ms: How long the exported file takes.

    Returns:
        None where no policy of the space is predicted to be fast enough.
    """
    smaller = moved(subject, policy, measured_ms)
    if smaller is not None:
        known = _read(_path(run)) | {policy.digest(): smaller}
        write_json(_path(run), {digest: each.to_json() for digest, each in known.items()})
    return smaller


def _path(run: Run) -> Path:
    return run.state / "tightened.json"


def _read(path: Path) -> dict[str, CompressionPolicy]:
    """Digest of a policy that was too slow -> the one in its place; empty where nothing can be read."""
    try:
        rows = read_json(path)
        return {str(digest): CompressionPolicy.from_json(each) for digest, each in rows.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
