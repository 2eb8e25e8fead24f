from __future__ import annotations

import os
import threading
import time

import pytest

from sdk.turns import Turns


def test_threads_take_turns() -> None:
    turns, inside, most = Turns(), [0], [0]

    def work() -> None:
        for _ in range(20):
            with turns.take():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_an_error_ends_a_turn() -> None:
    turns = Turns()
    with pytest.raises(KeyError), turns.take():
        raise KeyError
    with turns.take():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_takes_the_turn_that_a_thread_of_its_parent_has() -> None:
    turns = Turns()
    with turns.take():
        child = os.fork()
        if not child:
            with turns.take():
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with turns.take():
        pass
