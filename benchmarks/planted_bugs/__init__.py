"""Networks in plain NumPy with right gradients and with planted bugs, for judging gradient checkers.

networks             random networks: f(theta), its gradient, the point, the parts' names
backward_equations   the backward pass, for the mutator to rewrite
by_hand              fourteen kinds of bugs written by hand
rewriting            small changes to the source of functions, also for the mutation tests of trust/
mutator              fourteen kinds made from the source; held out, no checker is tuned on them
cases                a bug or a right gradient, on the network of a number, at a scale
checkers             clearprop, PyTorch, JAX and SciPy, as their users call them
study, tables        all of them on all cases; the tables
"""
