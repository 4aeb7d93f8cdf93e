"""Models of the Hugging Face Hub: from its cache on this machine, else over the network. No weights are opened here."""

from __future__ import annotations

from pathlib import Path

from omnie.errors import CheckpointError

FILES = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.ttf")
"""What is fetched. No pickles, and no code."""


def fetch(name: str) -> Path:
    """The folder of a repository, `owner/name`.

    Raises:
        CheckpointError: it is neither in the cache nor to be had; the message says how to get it from elsewhere.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # A fetched model does not need the network again; a half-fetched one does.
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder
    except (LocalEntryNotFoundError, OSError, ValueError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except HfHubHTTPError as error:
        raise _missing(name, "the Hub refuses the model", error) from error
    except (OSError, ValueError) as error:  # no network, or told to stay offline
        raise _missing(name, "the model is not on this machine, and the Hub cannot be reached", error) from error


def _missing(name: str, what: str, error: Exception) -> CheckpointError:
    folder = name.split("/")[1]
    return CheckpointError(
        what,
        value=name,
        allowed="a model folder, or a repository in the cache",
        hint=f"where there is a network: hf download {name} --local-dir {folder}; copy that folder here (config.json, "
        "*.safetensors and their index, tokenizer.json or tokenizer.model, tokenizer_config.json, the processors' files); "
        f"--model {folder} ({type(error).__name__})",
    )
