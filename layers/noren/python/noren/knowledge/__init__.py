"""What a site knows: its text in chunks, the file that they are found by, and how sure a finding is."""
