LINES = "bulk lines"


def pytest_terminal_summary(terminalreporter):
    """Print the counts of the ingestion."""
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    found = [value for report in reports for name, value in report.user_properties if name == LINES]
    if found:
        terminalreporter.section("bulk")
        for lines in found:
            terminalreporter.write_line(lines)
