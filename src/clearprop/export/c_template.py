"""The fixed parts of an exported C file, in double; names between @ signs are filled in."""

from __future__ import annotations

__all__ = ["HELPERS", "MAIN", "PREDICT_CLASS"]

HELPERS: dict[str, str] = {
    "product": """\
/* z = W x + b, W row by row; b may be 0 for none */
static void @NAME@product(const double *x, int n_in, const double *W, const double *b, int n_out, double *z)
{
    for (int j = 0; j < n_out; ++j) {
        double sum = 0.0;
        for (int k = 0; k < n_in; ++k) {
            sum += *W++ * x[k];
        }
        z[j] = b ? sum + b[j] : sum;
    }
}
""",
    "rectify": """\
static double @NAME@rectify(double z, double alpha)
{
    return z < 0.0 ? (alpha < 0.0 || alpha > 0.0 ? alpha * z : 0.0) : z;
}
""",
    "softmax": """\
/* the largest z is subtracted first, so that no exp overflows */
static double @NAME@bounded(double z)
{
    return z < -@BIG@ ? -@BIG@ : z > @BIG@ ? @BIG@ : z;
}

static void @NAME@softmax(const double *z, int n, double *a)
{
    double largest = @NAME@bounded(z[0]), sum = 0.0;
    for (int j = 1; j < n; ++j) {
        const double candidate = @NAME@bounded(z[j]);
        largest = candidate > largest ? candidate : largest;
    }
    for (int j = 0; j < n; ++j) {
        a[j] = exp(@NAME@bounded(z[j]) - largest);
        sum += a[j];
    }
    for (int j = 0; j < n; ++j) {
        a[j] /= sum;
    }
}
""",
    "ordered": """\
/* an infinite z counts as a large number, so that no sum overflows */
static double @NAME@held(double z, int n)
{
    const double big = @BIG@ / (double)n;
    return z < -big ? -big : z > big ? big : z;
}

static double @NAME@width(double z, int n)
{
    const double near = @NAME@held(z, n);
    return (near < 0.0 ? 0.0 : near) + log1p(exp(-fabs(near)));
}
""",
    "increasing": """\
/* each is the one before it and a positive increment */
static void @NAME@increasing(const double *z, int n, double *a)
{
    const double first = @NAME@held(z[0], n);
    double sum = 0.0;
    a[0] = first;
    for (int j = 1; j < n; ++j) {
        sum += @NAME@width(z[j], n);
        a[j] = first + sum;
    }
}
""",
    "ordinal": """\
static double @NAME@chance(double u)
{
    return 1.0 / (1.0 + exp(-u));
}

/* sigmoid(u_{j+1}) - sigmoid(u_j) as a product, which loses no digits; u is a cut point minus the score */
static void @NAME@ordinal(const double *z, int n, double *a)
{
    const double first = @NAME@held(z[1], n) - @NAME@held(z[0], n);
    double sum = 0.0, u = first;
    a[0] = @NAME@chance(u);
    for (int j = 1; j < n - 1; ++j) {
        const double above = @NAME@chance(-u) * @NAME@chance(z[j + 1]);
        sum += @NAME@width(z[j + 1], n);
        u = first + sum;
        a[j] = @NAME@chance(u) * above;
    }
    a[n - 1] = @NAME@chance(-u);
}
""",
    "normalise": """\
/* each example over its own neurons */
static void @NAME@normalise(
    const double *x, int n, const double *gamma, const double *beta, double epsilon, double *a)
{
    double mean = 0.0, variance = 0.0;
    for (int j = 0; j < n; ++j) {
        mean += x[j];
    }
    mean /= (double)n;
    for (int j = 0; j < n; ++j) {
        variance += (x[j] - mean) * (x[j] - mean);
    }
    variance /= (double)n;
    const double deviation = sqrt(variance + epsilon);
    for (int j = 0; j < n; ++j) {
        a[j] = (x[j] - mean) / deviation * gamma[j] + beta[j];
    }
}
""",
}

PREDICT_CLASS: dict[str, str] = {
    "largest": """\
int @NAME@class(const double *x, double *out)
{
    int largest = 0;
    @NAME@predict(x, out);
    for (int j = 1; j < @UPPER@N_OUT; ++j) {
        if (out[j] > out[largest]) {
            largest = j;
        }
    }
    return largest;
}
""",
    "threshold": """\
int @NAME@class(const double *x, double *out)
{
    @NAME@predict(x, out);
    return out[0] > @THRESHOLD@ ? 1 : 0;
}
""",
}

_MAIN = """\
#ifdef @UPPER@MAIN
#include <stdio.h>

/* Reads examples, numbers between white space, and prints the outputs of each on a line{what}. */
int main(void)
{{
    static double x[@UPPER@N_IN], out[@UPPER@N_OUT];
    for (;;) {{
        for (int k = 0; k < @UPPER@N_IN; ++k) {{
            const int found = scanf("@FORMAT@", &x[k]);
            if (found != 1) {{
                if (found == EOF && k == 0) {{
                    return 0;
                }}
                fprintf(stderr, "expected %d numbers for each example\\n", @UPPER@N_IN);
                return 1;
            }}
        }}
{call}
        for (int j = 0; j < @UPPER@N_OUT; ++j) {{
            printf(j ? " @DIGITS@" : "@DIGITS@", @WIDER@out[j]);
        }}
        printf({end});
    }}
}}
#endif
"""

MAIN: dict[str, str] = {
    "numbers": _MAIN.format(what="", call="        @NAME@predict(x, out);", end='"\\n"'),
    "classes": _MAIN.format(
        what=", then a tab and the label",
        call="        const int chosen = @NAME@class(x, out);",
        end='"\\t%s\\n", @NAME@labels[chosen]',
    ),
}
