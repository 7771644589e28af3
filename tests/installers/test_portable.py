"""The scripts use nothing that macOS lacks: its bash is 3.2, its sed, awk, date and grep are BSD's."""

import re

import pytest

from tests.installers.conftest import ROOT

# What must not stand in a script, with a line that has it.
LACKING = {
    r"\b(declare|local|typeset) -[a-z]*[An]": 'local -A seen=(["a"]=1)',
    r"\b(mapfile|readarray|coproc)\b": "mapfile -t lines <file",
    r"\|&|&>>": "command |& tee log",
    r"\$\{\w+(\^|,)": "echo ${name^^}",
    r"\$\{\w+@[A-Za-z]\}": "echo ${name@Q}",
    r"\[\[? -v ": "[[ -v name ]]",
    r"printf [^|]*%\([^)]*\)T": "printf '%(%s)T'",
    r"\bwait -n\b": "wait -n",
    r"\bsed (-\w+ )*-[a-zA-Z]*[ir]": "sed -i s/a/b/ file",
    r"\bsed (?!-\w*E)[^|]*\\[|+?]": r"sed -n 's/\(a\|b\)/c/p' file",
    r"\bdate [^)|]*(-d|--date|%N)": "date -d yesterday",
    r"\bbase64 [^|]*(-w|--wrap)": "base64 -w 0 file",
    r"\bstat -c": "stat -c %s file",
    r"\breadlink -[a-z]*f(?!.*\|\|)|\brealpath\b": "readlink -f file",
    r"\bgrep -[a-zA-Z]*P": "grep -oP x file",
    r"\bhead -[nc] ?-[0-9]": "head -n -1 file",
    r"\bxargs -[a-z]*r": "xargs -r rm",
    r"\bsort -[a-zA-Z]*V": "sort -V file",
    r"\b(gensub|strftime|systime|asorti?)\(": "awk '{ print strftime() }'",
    # awk of BSD takes a comparison in what is printed for a mistake, unless it is in parentheses.
    r"\{ printf? [^()}']*(\([^()]*\)[^()}']*)*\$\d+ (==|!=|<|~)": 'awk \'{ printf "%s %s", $1, $2 == "-" ? "" : $2 }\'',
}
SCRIPTS = [*ROOT.glob("*.sh"), *ROOT.glob("installer/*")]


@pytest.mark.parametrize("pattern", LACKING)
def test_nothing_is_used_that_macos_lacks(pattern: str) -> None:
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in SCRIPTS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line) and not line.lstrip().startswith("#")
    ]

    assert not found
    assert re.search(pattern, LACKING[pattern])


def test_an_array_that_may_be_empty_is_expanded_with_care() -> None:
    """Under `set -u`, bash before 4.4 takes an empty array for an unset variable."""
    filled = {"options", "values"}  # these begin with something in them
    found = [
        (path.name, line.strip())
        for path in SCRIPTS
        for line in path.read_text().splitlines()
        for name in re.findall(r'(?<!\+)"\$\{(\w+)\[@\]\}"', line)
        if name not in filled
    ]

    # plan() has added to it in the lines before.
    assert found == [("install.sh", '--parameter-overrides "${parameters[@]}"')]
