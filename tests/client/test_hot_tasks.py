from client.blocking import Client
from client.hot_tasks import HotTasks
from tests.client.scripted_server import Say, scripted


def page(**rows: int) -> Say:
    tasks = [
        {"task": name, "version": "v", "kind": "coefficients", "rows_predicted": count}
        for name, count in rows.items()
    ]
    return Say(body={"tasks": tasks, "next_cursor": None})


def test_a_look_is_one_request_and_shows_what_grew_since_the_last_busiest_first() -> None:
    script = page(a=5, b=7, c=9, d=1), page(a=6, b=90, c=9, e=50)
    with scripted(*script) as server, Client(server.url) as client:
        hot = HotTasks(client, 50)
        assert hot.look() == ()
        found = hot.look()
        assert len(server.asked) == 2
    assert [one.task for one in found] == ["b", "a"]
    assert found[0].rows_per_second > found[1].rows_per_second > 0


def test_tasks_that_are_watched_by_name_are_asked_for_together() -> None:
    with scripted(page(a=1)) as server, Client(server.url) as client:
        HotTasks(client, 50, ("a", "b & c")).look()
    assert [asked.path for asked in server.asked] == ["/v1/tasks?limit=2&task=a&task=b+%26+c"]


def test_a_process_that_counts_from_nothing_again_has_not_shrunk() -> None:
    with scripted(page(a=100), page(a=3)) as server, Client(server.url) as client:
        hot = HotTasks(client, 50)
        hot.look()
        assert [one.task for one in hot.look()] == ["a"]
