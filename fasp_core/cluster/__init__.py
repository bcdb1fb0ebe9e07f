"""Units of work on other processes and machines: an ordered map over workers that hold the model.

`ordered` is the map, `cluster` what runs ask of a cluster, `opening` how one is named and opened. Only `ray_workers`
imports Ray, and only `opening` imports that.
"""
