"""The name of the target beside the axes, where an axis is named: the mean toxicity, whatever the group."""

MEAN_TOXICITY = "toxicity"
