"""Task artifacts in files: read, and told from files given by mistake."""

from pathlib import Path

from client.errors import InvalidInput

_HEADER_LENGTH = 8


def artifact_in(file: Path) -> bytes:
    """The file's bytes. Raises `InvalidInput` where they are no safetensors."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from None
    # The service says what else may be wrong; this is for the picture given by mistake.
    length = int.from_bytes(content[:_HEADER_LENGTH], "little")
    if (
        length > len(content) - _HEADER_LENGTH
        or content[_HEADER_LENGTH : _HEADER_LENGTH + 1] != b"{"
    ):
        raise InvalidInput(f"{file}: expected a task artifact (safetensors), got another file")
    return content
