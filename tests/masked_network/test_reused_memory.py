from concurrent.futures import ThreadPoolExecutor

import torch

from masked_network.reused_memory import ReusedMemory


def test_a_piece_is_given_out_again_when_its_last_view_is_gone() -> None:
    memory = ReusedMemory(1024, torch.float32)
    first = memory.empty()
    place = first.data_ptr()
    view = first.as_strided((8, 4), (4, 1), 16)
    view.fill_(7.0)
    del first
    second = memory.empty()
    assert second.data_ptr() != place
    second.fill_(0)
    assert bool((view == 7.0).all())
    del view
    assert memory.empty().data_ptr() == place


def test_no_more_than_a_few_free_pieces_are_kept() -> None:
    memory = ReusedMemory(1 << 20, torch.bfloat16)
    pieces = [memory.empty() for _ in range(50)]
    places = {piece.data_ptr() for piece in pieces}
    assert len(places) == 50
    pieces.clear()
    assert len(memory._free) == 8


def test_threads_never_have_the_same_piece_at_once() -> None:
    memory = ReusedMemory(256, torch.float16)

    def worker(number: int) -> bool:
        kept = []
        for turn in range(2000):
            piece = memory.empty().fill_(number)
            kept.append(piece)
            if len(kept) > turn % 5:
                if not all(bool((one == number).all()) for one in kept):
                    return False
                kept.clear()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(worker, range(4)))
