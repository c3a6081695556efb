"""How the threads of a process wait for each other. Imports nothing, so that it can be asked before torch."""

from collections.abc import Mapping

BRIEFLY = "30000"  # turns of a loop, a millisecond or so


def waiting(environ: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for torch's threads (libgomp reads them when torch is imported); none where the person has set some.

    Left alone, a thread that waits for the others turns in a loop for milliseconds and takes the page's share of the cores. Sent to
    sleep at once (OMP_WAIT_POLICY=PASSIVE), it has to be woken for every operation, 70 microseconds each on two virtual cores: a
    training step of the demo model took 115 ms there, and 69 with the long loop. With this one it takes about as long as with that.
    """
    return {} if environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} else {"GOMP_SPINCOUNT": BRIEFLY}
