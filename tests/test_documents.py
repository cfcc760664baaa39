"""What the documents tell a DBA to type, typed."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from harness import ROOT, Database, client, deploy

DOCUMENTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]
PLATFORM = "select * from class_activation.platform() \\gset\n"
# what needs a server with a subscription, or of one vendor
NOT_TYPED = re.compile("subscription|grant_pgcron_privileges")


def statements(document: str) -> list[str]:
    """Return the blocks of SQL, and the statements in the text, of a document."""
    text = (ROOT / document).read_text()
    blocks = re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code = re.findall(r"`([^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [" ".join(words.split()) for words in code]
    verbs = r"(select|update|grant|alter|insert|delete|truncate|listen) [^…]+"
    return [
        text for text in [*blocks, *filter(re.compile(verbs).fullmatch, lines)] if not NOT_TYPED.search(text)
    ]


@pytest.fixture
def words(cron: Database, role: str, shape: str) -> Iterator[dict[str, str]]:
    """What stands in the documents in capitals, and what it is here."""
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
            "INSTANT": "2026-01-01 12:00Z",
            "JOBID": cron.value("select max(jobid) from cron.job"),
            "NAME": role,
            "OWNER": role,
            "PID": other.info.backend_pid,
            "PLATFORM": cron.name,
            "ROLE": role,
            "RUN_ID": cron.last_run().id,
        }
    cron.classes = "public.program_classes"


def test_every_statement_of_the_documents_can_be_typed(cron: Database, words: dict[str, str]) -> None:
    for statement in [statement for document in DOCUMENTS for statement in statements(document)]:
        typed = re.sub(r"\b[A-Z_]+\b", lambda word: str(words.get(word[0], word[0])), statement)
        script = f"\\set ON_ERROR_STOP on\n{PLATFORM}begin;\n{typed}\n;\nrollback;\n"
        client(cron, "psql", "--no-psqlrc", "--quiet", script=script)


def anchor(heading: str) -> str:
    """Return what a link to a heading ends with."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_what_a_document_refers_to_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, heading = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), target
        if heading:
            assert heading in map(anchor, re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)), target
    tests = "".join(path.read_text() for path in ROOT.glob("tests/test_*.py"))
    for name in re.findall(r"`(test_\w+)(?:\.py)?`", text):
        assert f"def {name}(" in tests or (ROOT / "tests" / f"{name}.py").exists(), name
