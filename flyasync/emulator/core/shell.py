"""What commands do in a machine: a few programs, alone or in a shell, over the machine's own files."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from attrs import Factory, define, field, frozen

from flyasync.emulator.core.processes import NOT_FOUND, Output, scripted_output

_SHELLS = frozenset({"sh", "bash", "ash", "dash"})
_SYNTAX_ERROR = 2
_DEEPEST = 20
_BLANK = re.compile(r"(?:[ \t]|\\\n|(?<!\S)#[^\n]*)*")
_TOKEN = re.compile(
    r"""(?: (?P<operator> \n | ; | && | \|\|? | [12]?>&[12] | [12]?>>? | < )
      | (?P<word> (?: [^\s;&|<>()'"\\`] | \\. | '[^']*' | "(?:[^"\\]|\\.)*" )+ ) )""",
    re.VERBOSE | re.DOTALL,
)
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
    """Return what a command writes and how it ends, after `seconds` of sleep; what it writes to files stays.

    A command, or one that a shell runs, does what is scripted for it. Otherwise there are `echo`, `true`, `false`,
    `sleep`, `cat`, `base64` and, with `-c`, `sh`: there `exit`, pipes, redirections, variables, parameters, `;`, `&&`,
    `||` and the option `-e` work too; other options have no effect. What is not known is not found.
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


class _Exit(Exception):
    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _SyntaxError(Exception):
    """A script uses what this shell does not know."""


@define
class _Command:
    """A command of a script: its words, and where it reads from and writes to."""

    words: list[str] = field(factory=list)
    redirections: list[tuple[str, str]] = field(factory=list)


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
        """Run a command outside of any script."""
        if known := scripted_output(self.scripted, words):
            return _Result(known.exit_code, known.stdout.encode(), known.stderr.encode(), known.exit_signal)
        programs = {
            "echo": self._echo,
            "true": lambda _arguments, _stdin: _Result(),
            "false": lambda _arguments, _stdin: _Result(1),
            "sleep": self._sleep,
            "cat": self._cat,
            "base64": self._base64,
            **dict.fromkeys(_SHELLS, self._shell),
        }
        program = programs.get(words[0].rpartition("/")[2])
        if program is None:
            return _Result(NOT_FOUND, stderr=f"{words[0]}: command not found\n".encode())
        return program(words[1:], stdin)

    def _shell(self, arguments: list[str], stdin: bytes) -> _Result:
        options, rest = _options(arguments)
        if "c" not in options or not rest:
            return _Result(_SYNTAX_ERROR, stderr=b"sh: only -c is emulated\n")
        if self.depth > _DEEPEST:
            return _Result(_SYNTAX_ERROR, stderr=b"sh: too many shells in one another\n")
        # Only the environment is inherited, not what a script assigned.
        inner = _Shell(
            self.scripted,
            self.files,
            self.environment,
            parameters=rest[2:],
            ends_on_failure="e" in options,
            depth=self.depth + 1,
        )
        inner.variables |= {str(number): text for number, text in enumerate(rest[1:] or ["sh"])}
        inner.variables |= {"@": " ".join(rest[2:]), "*": " ".join(rest[2:]), "#": str(len(rest[2:]))}
        try:
            result = inner.run_script(rest[0], stdin)
        except _SyntaxError as error:
            result = _Result(_SYNTAX_ERROR, stderr=f"sh: syntax error: {error}\n".encode())
        self.slept += inner.slept
        return result

    def run_script(self, script: str, stdin: bytes) -> _Result:
        """Run a whole script; its commands are parsed before the first one runs."""
        stdout, stderr, status, signal = b"", b"", 0, 0
        pipelines = list(_pipelines(script))
        followed_by = [*(connective for connective, _ in pipelines[1:]), ""]
        for (connective, pipeline), following in zip(pipelines, followed_by, strict=False):
            if (connective == "&&" and status) or (connective == "||" and not status):
                continue
            result, is_over = self._run_pipeline(pipeline, stdin)
            stdout, stderr, status, signal = (
                stdout + result.stdout,
                stderr + result.stderr,
                result.status,
                result.signal,
            )
            self.variables["?"] = str(status)
            if is_over or (status and self.ends_on_failure and following not in {"&&", "||"}):
                break
        return _Result(status, stdout, stderr, signal)

    def _run_pipeline(self, pipeline: list[_Command], stdin: bytes) -> tuple[_Result, bool]:
        stderr = b""
        result = _Result(stdout=stdin)
        for command in pipeline:
            try:
                result = self._run_command(command, result.stdout)
            except _Exit as over:
                result = _Result(over.status)
                if len(pipeline) == 1:
                    return result, True
            stderr += result.stderr
        return _Result(result.status, result.stdout, stderr, result.signal), False

    def _run_command(self, command: _Command, stdin: bytes) -> _Result:
        words = [
            text
            for word in command.words
            for text in (self.parameters if word in _ALL_PARAMETERS else [self._expand(word)])
        ]
        while words and (assigned := _ASSIGNMENT.fullmatch(words[0])):
            self.variables[assigned[1]] = assigned[2]
            del words[0]
        targets = [(operator, self._expand(target)) for operator, target in command.redirections]
        for operator, target in targets:
            if operator == "<":
                if (found := self._read(target)) is None:
                    return _Result(1, stderr=_missing("sh", target))
                stdin = found
        if words[:1] == ["exit"]:
            status = [*words[1:2], self.variables.get("?", "0")][0]
            raise _Exit(int(status) % 256 if re.fullmatch("[0-9]{1,9}", status) else _SYNTAX_ERROR)
        if words[:1] == ["set"] and not (rest := _options(words[1:]))[1]:
            self.ends_on_failure |= "e" in rest[0]
            words = []
        return self._redirect(self.run(words, stdin) if words else _Result(), targets)

    def _redirect(self, result: _Result, targets: list[tuple[str, str]]) -> _Result:
        # Where each stream goes: to a file by its path, or on, as one of the two streams.
        goes: dict[str, str] = {"1": "&1", "2": "&2"}
        for operator, target in targets:
            stream, _, mode = operator.partition(">")
            if mode.startswith("&"):
                goes[stream or "1"] = goes[mode[1:]]
            elif operator != "<":
                goes[stream or "1"] = target
                self._write(target, b"", append=mode == ">")
        written = {"&1": b"", "&2": b""}
        for stream, content in (("1", result.stdout), ("2", result.stderr)):
            if goes[stream] in written:
                written[goes[stream]] += content
            else:
                self._write(goes[stream], content, append=True)
        return _Result(result.status, written["&1"], written["&2"], result.signal)

    def _echo(self, arguments: list[str], _: bytes) -> _Result:
        has_end = arguments[:1] != ["-n"]
        text = " ".join(arguments if has_end else arguments[1:])
        return _Result(stdout=f"{text}\n".encode() if has_end else text.encode())

    def _sleep(self, arguments: list[str], _: bytes) -> _Result:
        found = [_DURATION.fullmatch(each) for each in arguments]
        if not found or None in found:
            return _Result(1, stderr=f"sleep: invalid time interval {' '.join(arguments)!r}\n".encode())
        self.slept += sum(float(each[1]) * _UNITS[each[2]] for each in found if each)
        return _Result()

    def _cat(self, arguments: list[str], stdin: bytes) -> _Result:
        stdout, stderr = b"", b""
        for path in arguments or ["-"]:
            content = stdin if path == "-" else self._read(path)
            stdout += content or b""
            stderr += _missing("cat", path) if content is None else b""
        return _Result(int(bool(stderr)), stdout, stderr)

    def _base64(self, arguments: list[str], stdin: bytes) -> _Result:
        options = [each for each in arguments if each.startswith("-") and each != "-"]
        paths = [each for each in arguments if each not in options and not each.isdecimal()]
        source = self._cat(paths, stdin)
        if source.status:
            return _Result(1, stderr=source.stderr.replace(b"cat:", b"base64:"))
        if {"-d", "-D", "--decode"} & set(options):
            try:
                return _Result(stdout=base64.b64decode(b"".join(source.stdout.split()), validate=True))
            except binascii.Error:
                return _Result(1, stderr=b"base64: invalid input\n")
        wrap = _WRAP.search(" ".join(arguments))
        width = int(wrap[1]) if wrap else 76
        encoded = base64.b64encode(source.stdout)
        lines = [encoded[at : at + width] for at in range(0, len(encoded), width)] if width else [encoded]
        return _Result(stdout=b"\n".join(lines) + b"\n" * bool(width and encoded))

    def _read(self, path: str) -> bytes | None:
        return b"" if path == "/dev/null" else self.files.get(_absolute(path))

    def _write(self, path: str, content: bytes, *, append: bool) -> None:
        if path != "/dev/null":
            before = self.files.get(_absolute(path), b"") if append else b""
            self.files[_absolute(path)] = before + content

    def _expand(self, word: str) -> str:
        return "".join(self._expanded(*piece.groups()) for piece in _PIECE.finditer(word))

    def _expanded(self, single: str | None, double: str | None, bare: str | None) -> str:
        if single is not None:
            return single

        def value(found: re.Match[str]) -> str:
            if found[1] is None:
                return self.variables.get(found[2] or found[3], "")
            if found[1] == "\n":
                return ""
            is_kept = double is not None and found[1] not in '$`"\\'
            return found[0] if is_kept else str(found[1])

        return _SPECIAL.sub(value, double or bare or "")


def _options(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the letters of a shell's options, and the arguments after them; the name that follows -o is left out."""
    letters, at = "", 0
    while at < len(arguments) and arguments[at][:1] in {"-", "+"} and len(arguments[at]) > 1:
        option = arguments[at]
        at += 1
        if option == "--":
            break
        if not option.startswith(("--", "+")):
            letters += option[1:]
        at += not option.startswith("--") and option.endswith("o")
    return letters, arguments[at:]


def _pipelines(script: str) -> Iterator[tuple[str, list[_Command]]]:
    """Yield the pipelines of a script, each with what connects it to the one before."""
    connective, pipeline = ";", [_Command()]
    redirection = ""
    for operator, word in (*_tokens(script), (";", "")):
        current = pipeline[-1]
        is_empty = not current.words and not current.redirections
        if word:
            if redirection:
                current.redirections.append((redirection, word))
                redirection = ""
            else:
                current.words.append(word)
        elif redirection or (is_empty and operator in {"|", "&&", "||"}):
            raise _SyntaxError(f"unexpected {operator!r}")
        elif "&" in operator and operator != "&&":
            current.redirections.append((operator, ""))
        elif operator[-1] in "<>":
            redirection = operator
        elif operator == "|":
            pipeline.append(_Command())
        else:
            if is_empty and (len(pipeline) > 1 or connective in {"&&", "||"}) and operator != "\n":
                raise _SyntaxError("unexpected end of command")
            if not is_empty:
                yield connective, pipeline
                connective, pipeline = (";" if operator == "\n" else operator), [_Command()]


def _tokens(script: str) -> Iterator[tuple[str, str]]:
    at = _skip(script, 0)
    while at < len(script):
        found = _TOKEN.match(script, at)
        if found is None or "$(" in (found["word"] or ""):
            raise _SyntaxError(f"unexpected {script[at:].strip()[:20]!r}")
        yield found["operator"] or "", found["word"] or ""
        at = _skip(script, found.end())


def _skip(script: str, at: int) -> int:
    blank = _BLANK.match(script, at)
    return blank.end() if blank else at


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path.removeprefix('./')}"


def _missing(program: str, path: str) -> bytes:
    return f"{program}: {path}: No such file or directory\n".encode()
