"""What a deploy reports: run state, results, events, the report, the journal and its replay."""
