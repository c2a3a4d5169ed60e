"""`python -m training`, which is `impress-train`: the trainer's command line."""

import typer

from training.bank_command import make_bank
from training.demo_command import make_demo
from training.discovery_command import discover
from training.report_commands import evaluate_store, sample
from training.store_commands import learn_stream
from training.studies.command import make_inference_report, make_report
from training.task_commands import learn_mask, learn_task

app = typer.Typer(
    help="Learn impressions and tasks on a frozen random network, and publish them to a store.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("bank")(make_bank)
app.command("task")(learn_task)
app.command("mask")(learn_mask)
app.command("stream")(learn_stream)
app.command("discover")(discover)
app.command("demo")(make_demo)
app.command("evaluate")(evaluate_store)
app.command("sample")(sample)
app.command("report")(make_report)
app.command("inference")(make_inference_report)

if __name__ == "__main__":
    app()
