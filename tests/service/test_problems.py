import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service import errors
from service.problems import add_problem_handlers


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (errors.Saturated("full", 0.01), 503, "1"),
        (errors.WouldBeLate("late", 7.2), 503, "8"),
        (errors.ShuttingDown("stopping"), 503, "1"),
        (errors.StoreUnavailable("disk"), 503, "1"),
        (errors.DeadlinePassed("over"), 504, None),
        (errors.CallerLeft("gone"), 499, None),
    ],
)
def test_what_cannot_be_served_now_says_when_to_ask_again(
    error: errors.ServiceError, status: int, retry_after: str | None
) -> None:
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    with TestClient(app) as client:
        answer = client.get("/")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry_after
    assert answer.json()["detail"] == str(error)
