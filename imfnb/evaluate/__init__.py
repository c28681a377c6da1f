"""The laboratory: studies that measure codecs of :mod:`imfnb.baselines` on pictures, and draw what they found.

Every study is one module with one function, `run`, and one command, ``imfnb bench STUDY``:

- `rate_distortion`: curves of any codecs with standard errors, BD-rates, published curves beside them;
- `ablation`: the choices of the paper (its Figure 5 and Appendix B), and the parts of the main profile switched off;
- `timing`: encoding and decoding times at one rate;
- `collage`: all codecs at one rate side by side;
- `factor_maps`: what U and V of a picture look like;
- `arrays`: codecs of arrays of any dtype and number of bands, with `scenes` (the arrays) and `array_figures`;
- `classification`: accuracy of any classifier on decoded pictures against the rate.

Around them: `data` names the pictures, `measures` the measures of quality, `records` keeps every measured point at
once, so that a study can be interrupted and goes on where it was, `curves` averages and compares, `parts` switches
parts of the codec off, `figures` has what all figures share, and `command` is what the command line calls. Needs the
extra ``eval``::

    from imfnb.evaluate import data, rate_distortion, study

    outcome = rate_distortion.run(data.pictures("kodak"), study.codecs_by_name(["imf", "jpeg", "avif"]))
    print(outcome.table)
"""
