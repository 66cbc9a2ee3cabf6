"""Two patches that were never tried together, combined on the working line as one candidate.

Each of the two is a peer's patch that another node confirmed, or a kept patch of this node. Two
patches of this node are combined only if a promotion trial lies between them. Patches that the line
already contains are left out. `node.loop.exploring` decides when to combine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Final

from agent.source.canonical import fingerprint, parse
from node.line.experiment import COMBINING, PEER, ExperimentStep
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop.peer_claims import Peers
from node.source_review.patches import merged
from node.store.experiments import ABLATION, Experiment
from protocol.codecs import fit_line
from protocol.source import Source
from protocol.units import NANO

_LOOKED_AT: Final = 40
_MOST_PARTS: Final = 12  # patches that fit: 66 combinations of two, each of which needs a merge
_PEERS_PARTS: Final = 4  # of these from peers: their combinations are inspected in a child process


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedPatch:
    """A patch from `base` to `tree` that may be combined with another one.

    Two patches with the same number `company` were tried together before. Patches with a larger
    `worth_sd` are combined first. `claim_sd` is the patch's reported gain. `author` is the peer who
    claims it; None for a patch of this node.
    """

    patch: bytes
    base: Source
    tree: Source
    title: str
    company: int
    worth_sd: float
    claim_sd: float
    author: bytes | None = None


def combination(line_writer: LineWriter, peers: Peers | None, *, noise_sd: float) -> Idea | None:
    """Return the two most promising patches that fit on the working line and on each other."""
    working = line_writer.explored
    parts = [
        *_own_parts(line_writer),
        *(_peers_parts(peers, working.tree, noise_sd) if peers else ()),
    ]
    parts.sort(key=lambda part: (-part.worth_sd, part.patch))
    made = ((part, merged(part.base, working, part.tree)) for part in parts[:_LOOKED_AT])
    fitting = [(part, alone) for part, alone in made if alone and alone.tree != working.tree]
    pairs = sorted(
        combinations(fitting[:_MOST_PARTS], 2),
        key=lambda pair: -(pair[0][0].worth_sd + pair[1][0].worth_sd),
    )
    for (first, alone), (second, other) in pairs:
        if first.company == second.company:
            continue
        both = merged(second.base, alone, second.tree)
        if both is None or both.tree in (alone.tree, other.tree, working.tree):
            continue
        theirs = peers if first.author or second.author else None
        mark = theirs.source_review.fingerprint(both) if theirs else _fingerprint(both)
        if mark is not None and not line_writer.store.jobs.tried(line_writer.key.task, mark):
            return _idea(line_writer, both, mark, (first, second))
    return None


def _own_parts(line_writer: LineWriter) -> Iterator[CombinedPatch]:
    """Yield this node's kept patches, even those that the working line already contains.

    `combination` drops these when it merges the patches with the line.
    Peers' claims are read from the leaderboards instead, which have more evidence about them.
    """
    entries = line_writer.store.experiments.listed(line_writer.key)
    out, gains_sd = _taken_out(line_writer, entries), _gains_sd(line_writer)
    company = 0
    for entry in entries:
        company += entry.stage == "confirm"
        if entry.decision != "kept" or entry.patch is None or entry.patch in out:
            continue
        if entry.origin in (PEER, COMBINING):
            continue
        worth_sd = gains_sd.get((entry.parent, entry.tree), 0.0)
        yield CombinedPatch(
            patch=entry.patch,
            base=line_writer.source(entry.parent),
            tree=line_writer.source(entry.tree),
            title=entry.title,
            company=company,
            worth_sd=worth_sd,
            claim_sd=max(0.0, worth_sd),
        )


def _gains_sd(line_writer: LineWriter) -> dict[tuple[bytes, bytes], float]:
    """Return the gain of each experiment of this node, in sd, by its base and tree."""
    jobs = line_writer.store.jobs.closed_jobs(line_writer.key, ExperimentStep)
    steps = (job.step for job in jobs)
    return {(step.base, step.tree): (step.gain_milli or 0) / 1000 for step in steps}


def _taken_out(line_writer: LineWriter, entries: Sequence[Experiment]) -> set[bytes]:
    """Return the patches that an ablation removed because they gained nothing."""
    found: set[bytes] = set()
    for entry in entries:
        if (
            entry.origin == ABLATION
            and entry.patch
            and (part := line_writer.store.records.patch(entry.patch))
        ):
            found.update(part.parents)
    return found


def _peers_parts(peers: Peers, working: bytes, noise_sd: float) -> Iterator[CombinedPatch]:
    offers = (offer for offer in peers.offers(peers.authors.rates()) if offer.found_gain > 0)
    for number, offer in enumerate(islice(offers, _PEERS_PARTS), 1):
        if step := peers.source_review.step(offer.body, own=working):
            yield CombinedPatch(
                patch=offer.patch,
                base=step.base,
                tree=step.tree,
                title=f"a claim of {offer.author.hex()[:12]}",
                company=-number,
                worth_sd=offer.worth_sd,
                claim_sd=offer.gain_nano / NANO / noise_sd,
                author=offer.author,
            )


def _fingerprint(source: Source) -> bytes | None:
    """Return the fingerprint of a source of this node; None if the source does not parse."""
    is_whole = all(parse(data) for path, data in source.files if path.endswith(".py"))
    return fingerprint(source) if is_whole else None


def _idea(
    line_writer: LineWriter, source: Source, mark: bytes, parts: Sequence[CombinedPatch]
) -> Idea:
    # As in any trial of claims, list the authors of the first patches.
    parts = sorted(parts, key=lambda part: part.author is None)
    authors = tuple(part.author for part in parts if part.author is not None)
    return Idea(
        base=line_writer.explored.tree,
        tree=line_writer.blobs.put_source(source),
        fingerprint=mark,
        key=COMBINING,
        title=fit_line(f"both: {'; '.join(part.title for part in parts)}", 120),
        why="Each was promising among other patches. The two were never tried together.",
        proposer=COMBINING,
        parents=tuple(part.patch for part in parts),
        author=authors[0] if authors else None,
        claim_milli=round(1000 * sum(part.claim_sd for part in parts)) if authors else None,
        co_authors=authors[1:] or None,
    )
