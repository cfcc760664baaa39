"""The statements in the documents, typed, and the headings, tests and functions that they name."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from harness import ROOT, Database, client, deploy

DOCUMENTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]
PLATFORM = "select * from class_activation.platform() \\gset\n"
# needs a subscription, the server of one vendor, or no transaction
NOT_TYPED = re.compile("subscription|grant_pgcron_privileges|concurrently")


def statements(document: str) -> list[str]:
    """Return the blocks of SQL, and the statements in the text, of a document."""
    page = text(document)
    blocks = re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    code = re.findall(r"`([^`]*)`", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL))
    lines = [" ".join(words.split()) for words in code]
    verbs = r"(select|update|grant|alter|insert|delete|truncate|listen) [^…]+"
    return [
        sql for sql in [*blocks, *filter(re.compile(verbs).fullmatch, lines)] if not NOT_TYPED.search(sql)
    ]


@pytest.fixture
def words(cron: Database, role: str, shape: str) -> Iterator[dict[str, str]]:
    """Return the values of the words in capitals."""
    deploy("upgrade", "head", database=cron.name)
    if shape == "cohorts":
        cron.restructure()
    facility = cron.facility()
    activated = cron.class_(facility)
    cron.enrollment(activated)
    cron.run()
    cron.class_(cron.facility("Mars/Phobos"))
    with closing(cron.connect()) as other:
        yield {
            "CLASS_ID": activated,
            "ID": activated,
            "JOBID": cron.value("select max(jobid) from cron.job"),
            "NAME": role,
            "OWNER": role,
            "PID": other.info.backend_pid,
            "PLATFORM": cron.name,
            "ROLE": role,
            "RUN_ID": cron.last_run().id,
            "TIME": "2026-01-01 12:00Z",
        }


def test_every_statement_of_the_documents_can_be_typed(cron: Database, words: dict[str, str]) -> None:
    for statement in [statement for document in DOCUMENTS for statement in statements(document)]:
        typed = re.sub(r"\b[A-Z_]+\b", lambda word: str(words.get(word[0], word[0])), statement)
        script = f"\\set ON_ERROR_STOP on\n{PLATFORM}begin;\n{typed}\n;\nrollback;\n"
        client(cron, "psql", "--no-psqlrc", "--quiet", script=script)


def anchors(document: str) -> list[str]:
    """Return the anchors of the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", text(document).lower(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings]


def text(path: str) -> str:
    return (ROOT / path).read_text()


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_and_test_names_in_a_document_exist(document: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text(document)):
        path, _, heading = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), target
        if heading:
            assert heading in anchors(str(file)), target
    tests = "".join(path.read_text() for path in ROOT.glob("tests/test_*.py"))
    for name in re.findall(r"`(test_\w+)(?:\.py)?`", text(document)):
        assert f"def {name}(" in tests or (ROOT / "tests" / f"{name}.py").exists(), name


def test_documents_that_the_code_names_exist() -> None:
    files = [
        path for folder in ("sql", "migrations", "monitoring", "tools") for path in (ROOT / folder).rglob("*")
    ]
    for file in [path for path in files if path.suffix in (".sql", ".py", ".yml")]:
        for document, heading in re.findall(r"(docs/[\w-]+\.md)(?:#([\w-]+))?", file.read_text()):
            assert (ROOT / document).exists(), f"{file} names {document}"
            assert not heading or heading in anchors(document), f"{file} names {document}#{heading}"


def test_the_runbook_lists_each_alert() -> None:
    rows = [line for line in text("docs/runbook.md").splitlines() if line.startswith("|") and "](" in line]
    found = set(re.findall(r"`(\w+)`", "".join(row.rpartition("](")[0] for row in rows)))
    alerts = re.findall(r"- alert: (\w+)", text("monitoring/alerts.yml"))
    assert alerts
    assert {*alerts} <= found


def test_the_list_of_functions_with_the_owners_rights_is_complete() -> None:
    listed = re.findall(r"^\| `([\w.]+)` \|", text("SECURITY.md"), re.MULTILINE)
    files = [path.read_text() for path in ROOT.glob("sql/*/*.sql")]
    name = re.compile(r"create or replace function ([\w.]+)")
    assert sorted(listed) == sorted(name.search(sql)[1] for sql in files if "security definer\nset" in sql)


def test_the_release_is_the_same_everywhere() -> None:
    release = re.search(r'^version = "(.*)"', text("pyproject.toml"), re.MULTILINE)[1]
    assert f"return '{release}';" in text("sql/operate/version.sql")
    assert [*ROOT.glob(f"migrations/versions/{release}*.py")]
    assert f"## {release} (" in text("CHANGELOG.md")
