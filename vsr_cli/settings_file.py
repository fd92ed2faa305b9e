"""The file of settings that `vsr config init` writes: everything in it is a comment."""

EXAMPLE = """\
# Settings of vsr. Every option of `vsr upscale --help-all` that is about how a video is made may be
# set here by its long name. What is typed goes before this file, and so do variables of the
# environment such as VSR_STEPS. `vsr config show` tells what holds, and where it comes from.

# steps = 4
# crf = 18
# audio = "copy"
# enc-opt = ["tune=film"]

# A preset is a group of options, taken by `--preset-name archive` or `-P archive`. Of several, the
# later one goes before the earlier one, and all of them before what is above.

# [preset.archive]
# lossless = true

# [preset.phone]
# scale = 2
# fidelity = 0.8

# Not here, as they are about one run: overwrite, skip-existing, fresh, dry-run, json, quiet.
"""
