"""Jobs in the queue of a job system, read from what its commands print."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class JobState:
    """A job that a system knows: ``running``, or what it says instead, and why it does not run."""

    number: str
    state: str
    reason: str = ""
    hopeless: bool = False

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.state == "running"

    def __str__(self) -> str:
        return f"job {self.number} {self.state}" + (f" ({self.reason})" if self.reason else "")


_SLURM_HOPELESS = re.compile(
    r"Partition(Config|NodeLimit|TimeLimit|Inactive|Down)|BadConstraints|Invalid(Account|QOS)|\w+NotAllowed"
    r"|DependencyNeverSatisfied|\w+PerJob(Limit)?$"
)


def of_slurm(text: str) -> list[JobState]:
    """Jobs in what ``squeue`` prints."""
    found = []
    for line in text.splitlines():
        number, state, reason = (*line.strip().split("|", 2), "", "")[:3]
        reason = "" if reason in ("None", "") else reason
        hopeless = state == "PENDING" and _SLURM_HOPELESS.match(reason) is not None
        if state != "COMPLETING":
            found.append(JobState(number, state.lower(), "" if state == "RUNNING" else reason, hopeless))
    return found


def of_pbs(text: str) -> list[JobState]:
    """Jobs in what ``qstat -f`` prints."""
    letters = {"R": "running", "Q": "pending", "H": "held", "W": "waiting", "E": "ending", "B": "running"}
    found = []
    for part in re.split(r"^Job Id: *", text, flags=re.MULTILINE)[1:]:
        number = part.split(None, 1)[0]
        state = re.search(r"job_state = (\w)", part)
        comment = re.search(r"comment = (.*(?:\n\t.*)*)", part)
        reason = re.sub(r"\n\t", "", comment[1]).strip() if comment else ""
        word = letters.get(state[1], state[1]) if state else "unknown"
        if word in ("F", "C"):
            continue
        hopeless = "never run" in reason.lower()
        found.append(JobState(number, word, "" if word == "running" else reason, hopeless))
    return found


def of_sge(text: str) -> list[JobState]:
    """Jobs in what ``qstat`` prints."""
    found = []
    for words in (line.split() for line in text.splitlines()):
        if len(words) > 4 and words[0].isdigit():
            state = words[4]
            runs = state in ("r", "t", "hr")
            error = "E" in state
            word = "running" if runs else f"in error ({state})" if error else "pending"
            found.append(JobState(words[0], word, f"see: qstat -j {words[0]}" if not runs else "", error))
    return found


def of_lsf(text: str) -> list[JobState]:
    """Jobs in what ``bjobs`` prints."""
    words = {"RUN": "running", "PEND": "pending"}
    found = []
    for line in text.splitlines():
        number, state, reason = (*line.strip().split("|", 2), "", "")[:3]
        if number and state not in ("DONE", "EXIT"):
            runs = state == "RUN"
            found.append(JobState(number, words.get(state, state.lower()), "" if runs else reason.strip("- ")))
    return found


def of_htcondor(text: str) -> list[JobState]:
    """Jobs in what ``condor_q`` prints."""
    words = {"1": "pending", "2": "running", "5": "held", "6": "running", "7": "suspended"}
    found = []
    for line in text.splitlines():
        number, state, reason = (*line.strip().split("|", 2), "", "")[:3]
        if state in words:
            reason = "" if reason == "undefined" else reason
            found.append(JobState(number, words[state], reason, hopeless=state == "5"))
    return found
