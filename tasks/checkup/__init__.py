"""All that can be wrong with a box, looked for: what `appliance doctor` and "Check now" say."""
