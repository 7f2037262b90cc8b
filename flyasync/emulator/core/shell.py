"""Commands in a machine: a few programs and a shell that work on the machine's own files."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from attrs import Factory, define, field, frozen

from flyasync.emulator.core.processes import NOT_FOUND, Output, scripted_output
from flyasync.emulator.core.shell_syntax import Command, ScriptError, options, pipelines

_SYNTAX_ERROR = 2
# The nesting depth of shells: each level uses a few of our stack frames.
_DEEPEST = 20
_PIECE = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|((?:[^'"\\]|\\.)+)""", re.DOTALL)
_SPECIAL = re.compile(r"\\(.)|\$(?:\{(\w+|[?@*#])\}|(\d|\w+|[?@*#]))", re.DOTALL)
_ALL_PARAMETERS = frozenset({"$@", "$*", '"$@"'})
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)")
_WRAP = re.compile(r"(?<!\S)(?:-w ?|--wrap[= ])([0-9]{1,6})(?!\S)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def run(
    scripted: Mapping[str, Output],
    command: list[str],
    *,
    files: dict[str, bytes],
    environment: Mapping[str, str],
    stdin: str = "",
) -> Output:
    """Return the output and exit code of a command, and the `seconds` it sleeps; files that it writes stay.

    A scripted output applies to the command itself and to commands that a shell runs. Otherwise `echo`, `true`,
    `false`, `sleep`, `cat`, `base64`, `dd`, `mv`, `test` and `sh -c` are emulated; `sh` supports `exit`, pipes,
    redirections, variables, parameters, `;`, `&&`, `||` and the option `-e`, and ignores other options. Any other
    command is not found.
    """
    shell = _Shell(scripted, files, environment)
    result = shell.run(command, stdin.encode())
    stdout, stderr = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    return Output(stdout=stdout, stderr=stderr, exit_code=result.status, exit_signal=result.signal, seconds=shell.slept)


@frozen
class _Result:
    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    signal: int = 0


_Program = Callable[["_Shell", list[str], bytes], _Result]
_PROGRAMS: dict[str, _Program] = {}


def _program(*names: str) -> Callable[[_Program], _Program]:
    """Return a decorator that registers a program under these names."""

    def register(program: _Program) -> _Program:
        _PROGRAMS.update(dict.fromkeys(names, program))
        return program

    return register


class _Exit(Exception):
    """`exit` was called: it ends the script, or only its own command in a pipeline."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@define
class _Shell:
    scripted: Mapping[str, Output]
    files: dict[str, bytes]
    environment: Mapping[str, str]
    variables: dict[str, str] = Factory(lambda self: {**self.environment, "?": "0"}, takes_self=True)
    parameters: list[str] = field(factory=list)
    ends_on_failure: bool = False
    depth: int = 0
    slept: float = 0.0

    def run(self, words: list[str], stdin: bytes) -> _Result:
        """Run a command: its scripted output, else the program of its name, in any folder."""
        if known := scripted_output(self.scripted, words):
            return _Result(known.exit_code, known.stdout.encode(), known.stderr.encode(), known.exit_signal)
        program = _PROGRAMS.get(words[0].rpartition("/")[2])
        if program is None:
            return _Result(NOT_FOUND, stderr=f"{words[0]}: command not found\n".encode())
        return program(self, words[1:], stdin)

    def script(self, text: str, stdin: bytes) -> _Result:
        """Run a script; all its commands are parsed before the first one runs."""
        stdout, stderr, status, signal = b"", b"", 0, 0
        found = list(pipelines(text))
        # One longer than the pipelines of an empty script.
        followed_by = [*(connective for connective, _ in found[1:]), ""]
        for (connective, pipeline), following in zip(found, followed_by, strict=False):
            if (connective == "&&" and status) or (connective == "||" and not status):
                continue
            # Each command of a pipeline reads the output of the previous one; stderr is collected from all.
            result, is_over = _Result(stdout=stdin), False
            for command in pipeline:
                try:
                    result = self.command(command, result.stdout)
                except _Exit as over:
                    # A real shell runs it in a process of its own.
                    result = _Result(over.status)
                    is_over = len(pipeline) == 1
                stderr += result.stderr
            stdout, status, signal = stdout + result.stdout, result.status, result.signal
            self.variables["?"] = str(status)
            # With -e a failure ends the script, unless the pipeline is followed by && or ||.
            if is_over or (status and self.ends_on_failure and following not in {"&&", "||"}):
                break
        return _Result(status, stdout, stderr, signal)

    def command(self, command: Command, stdin: bytes) -> _Result:
        """Run one command of a script: expand, assign, open files, run, and write to the redirection targets."""
        words = [
            text
            for word in command.words
            for text in (self.parameters if word in _ALL_PARAMETERS else [self.expand(word)])
        ]
        while words and (assigned := _ASSIGNMENT.fullmatch(words[0])):
            self.variables[assigned[1]] = assigned[2]
            del words[0]
        targets = [(operator, self.expand(target)) for operator, target in command.redirections]
        for operator, target in targets:
            if operator == "<":
                if (found := self.read(target)) is None:
                    return _Result(1, stderr=_missing("sh", target))
                stdin = found
        # `exit` and `set` change the shell itself, so they are not programs.
        if words[:1] == ["exit"]:
            status = [*words[1:2], self.variables.get("?", "0")][0]
            raise _Exit(int(status) % 256 if re.fullmatch("[0-9]{1,9}", status) else _SYNTAX_ERROR)
        if words[:1] == ["set"] and not (rest := options(words[1:]))[1]:
            self.ends_on_failure |= "e" in rest[0]
            words = []
        result = self.run(words, stdin) if words else _Result()

        # The target of each stream: a file path, or one of the two streams. Redirections apply from left
        # to right, and a file is emptied even when nothing is written to it.
        goes: dict[str, str] = {"1": "&1", "2": "&2"}
        for operator, target in targets:
            stream, _, mode = operator.partition(">")
            if mode.startswith("&"):
                goes[stream or "1"] = goes[mode[1:]]
            elif operator != "<":
                goes[stream or "1"] = target
                self.write(target, b"", append=mode == ">")
        written = {"&1": b"", "&2": b""}
        for stream, content in (("1", result.stdout), ("2", result.stderr)):
            if goes[stream] in written:
                written[goes[stream]] += content
            else:
                self.write(goes[stream], content, append=True)
        return _Result(result.status, written["&1"], written["&2"], result.signal)

    def expand(self, word: str) -> str:
        """Return a word without its quotes, with variables expanded except in single quotes."""
        found = ""
        for single, double, bare in (piece.groups() for piece in _PIECE.finditer(word)):
            if single is not None:
                found += single
                continue

            def value(special: re.Match[str], *, in_quotes: bool = double is not None) -> str:
                # 1. A variable. 2. A line continuation. 3. An escape; in quotes only four characters can be escaped.
                if special[1] is None:
                    return self.variables.get(special[2] or special[3], "")
                if special[1] == "\n":
                    return ""
                return special[0] if in_quotes and special[1] not in '$`"\\' else str(special[1])

            found += _SPECIAL.sub(value, double or bare or "")
        return found

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, None if it does not exist."""
        return b"" if path == "/dev/null" else self.files.get(_absolute(path))

    def write(self, path: str, content: bytes, *, append: bool) -> None:
        """Write a file; it exists until the machine boots again."""
        if path != "/dev/null":
            before = self.files.get(_absolute(path), b"") if append else b""
            self.files[_absolute(path)] = before + content


@_program("sh", "bash", "ash", "dash")
def sh(shell: _Shell, arguments: list[str], stdin: bytes) -> _Result:
    """Run the script after -c in a new shell; the arguments after the script are its parameters."""
    letters, rest = options(arguments)
    if "c" not in letters or not rest:
        return _Result(_SYNTAX_ERROR, stderr=b"sh: only -c is emulated\n")
    if shell.depth > _DEEPEST:
        return _Result(_SYNTAX_ERROR, stderr=b"sh: shells are nested too deeply\n")
    # Only the environment is inherited, not the variables of a script.
    inner = _Shell(
        shell.scripted,
        shell.files,
        shell.environment,
        parameters=rest[2:],
        ends_on_failure="e" in letters,
        depth=shell.depth + 1,
    )
    inner.variables |= {str(number): text for number, text in enumerate(rest[1:] or ["sh"])}
    inner.variables |= {"@": " ".join(rest[2:]), "*": " ".join(rest[2:]), "#": str(len(rest[2:]))}
    try:
        result = inner.script(rest[0], stdin)
    except ScriptError as error:
        result = _Result(_SYNTAX_ERROR, stderr=f"sh: syntax error: {error}\n".encode())
    shell.slept += inner.slept
    return result


@_program("true")
def true(_shell: _Shell, _arguments: list[str], _stdin: bytes) -> _Result:
    """Succeed."""
    return _Result()


@_program("false")
def false(_shell: _Shell, _arguments: list[str], _stdin: bytes) -> _Result:
    """Fail."""
    return _Result(1)


@_program("echo")
def echo(_: _Shell, arguments: list[str], _stdin: bytes) -> _Result:
    """Write the arguments, without a newline if -n is given."""
    has_end = arguments[:1] != ["-n"]
    text = " ".join(arguments if has_end else arguments[1:])
    return _Result(stdout=f"{text}\n".encode() if has_end else text.encode())


@_program("sleep")
def sleep(shell: _Shell, arguments: list[str], _: bytes) -> _Result:
    """Add to the duration of the whole command, without waiting here."""
    found = [_DURATION.fullmatch(each) for each in arguments]
    if not found or None in found:
        return _Result(1, stderr=f"sleep: invalid time interval {' '.join(arguments)!r}\n".encode())
    shell.slept += sum(float(each[1]) * _UNITS[each[2]] for each in found if each)
    return _Result()


@_program("cat")
def cat(shell: _Shell, arguments: list[str], stdin: bytes) -> _Result:
    """Write the contents of files in order; `-` is the standard input."""
    stdout, stderr = b"", b""
    for path in arguments or ["-"]:
        content = stdin if path == "-" else shell.read(path)
        stdout += content or b""
        stderr += _missing("cat", path) if content is None else b""
    return _Result(int(bool(stderr)), stdout, stderr)


@_program("base64")
def base64_(shell: _Shell, arguments: list[str], stdin: bytes) -> _Result:
    """Encode a file or the standard input in lines of 76 characters; decode it with -d."""
    letters = [each for each in arguments if each.startswith("-") and each != "-"]
    # A number without an option is the width after -w, not a file.
    paths = [each for each in arguments if each not in letters and not each.isdecimal()]
    source = cat(shell, paths, stdin)
    if source.status:
        return _Result(1, stderr=source.stderr.replace(b"cat:", b"base64:"))
    if {"-d", "-D", "--decode"} & set(letters):
        try:
            return _Result(stdout=base64.b64decode(b"".join(source.stdout.split()), validate=True))
        except binascii.Error:
            return _Result(1, stderr=b"base64: invalid input\n")
    wrap = _WRAP.search(" ".join(arguments))
    width = int(wrap[1]) if wrap else 76
    encoded = base64.b64encode(source.stdout)
    lines = [encoded[at : at + width] for at in range(0, len(encoded), width)] if width else [encoded]
    return _Result(stdout=b"\n".join(lines) + b"\n" * bool(width and encoded))


@_program("mv")
def mv(shell: _Shell, arguments: list[str], _stdin: bytes) -> _Result:
    """Rename a file."""
    paths = options(arguments)[1]
    if len(paths) != 2:  # noqa: PLR2004 - from and to
        return _Result(1, stderr=b"mv: only one file and its new name are emulated\n")
    if (content := shell.read(paths[0])) is None:
        return _Result(1, stderr=_missing("mv", paths[0]))
    shell.write(paths[1], content, append=False)
    shell.files.pop(_absolute(paths[0]), None)
    return _Result()


@_program("test")
def test(shell: _Shell, arguments: list[str], _: bytes) -> _Result:
    """Succeed if a file exists, which is what -e, -f and -r ask for."""
    match arguments:
        case ["-e" | "-f" | "-r", path]:
            return _Result(0 if shell.read(path) is not None else 1)
        case _:
            return _Result(_SYNTAX_ERROR, stderr=b"test: only -e, -f and -r are emulated\n")


@_program("dd")
def dd(shell: _Shell, arguments: list[str], stdin: bytes) -> _Result:
    """Write a part of a file: `if`, `bs` in bytes, `skip` and `count` in blocks."""
    operands = dict(each.partition("=")[::2] for each in arguments)
    numbers = {key: operands.pop(key) for key in ("bs", "skip", "count") if key in operands}
    path = operands.pop("if", None)
    if operands or not all(re.fullmatch("[0-9]{1,9}", each) for each in numbers.values()):
        return _Result(1, stderr=b"dd: only if, bs, skip and count are emulated\n")
    if (content := stdin if path is None else shell.read(path)) is None:
        return _Result(1, stderr=_missing("dd", path or ""))
    block = int(numbers.get("bs", "512"))
    start = int(numbers.get("skip", "0")) * block
    return _Result(
        stdout=content[start : start + int(numbers["count"]) * block] if "count" in numbers else content[start:]
    )


def _absolute(path: str) -> str:
    # Commands run in the root folder.
    return path if path.startswith("/") else f"/{path.removeprefix('./')}"


def _missing(program: str, path: str) -> bytes:
    return f"{program}: {path}: No such file or directory\n".encode()
