# Writes special.json: values of the special functions and mixtures at 60 digits, for the tests. Needs mpmath.
# Run in this folder: python special.py
import json
from mpmath import mp, mpf, loggamma, log, betainc, gammainc, ncdf, zeta

mp.dps = 60


def log_split(x, p, kappa):
    x, p, kappa = [mpf(v) for v in x], [mpf(v) for v in p], mpf(kappa)
    log_beta = lambda a: sum(loggamma(v) for v in a) - loggamma(sum(a))
    prior = [kappa * v for v in p]
    return log_beta([a + v for a, v in zip(prior, x)]) - log_beta(prior) - sum(v * log(q) for v, q in zip(x, p))


def log_beta_tail(x, a, b):
    return log(betainc(a, b, mpf(x), 1, regularized=True))


out = {
    "split": [
        {"x": x, "p": p, "kappa": kappa, "want": float(log_split(x, p, kappa))}
        for x, p, kappa in [
            ([1, 0], [0.5, 0.5], 10),
            ([0, 1], [0.75, 0.25], 1000),
            ([500, 600], [0.5, 0.5], 10000),
            ([800000000, 200000000], [0.75, 0.25], 1000),
            ([750012345, 249987655], [0.75, 0.25], 1000),
            ([750000000, 250000000], [0.75, 0.25], 10),
            ([1, 999999999], [2**-30, 1 - 2**-30], 125),
            ([0, 1000000000], [2**-30, 1 - 2**-30], 125),
            ([3, 999999997], [2**-40, 1 - 2**-40], 0.001),
            ([1000000000, 0], [0.5, 0.5], 0.001),
            ([0, 1000000], [0.5, 0.5], 0.001),
            ([0, 100000000], [2**-20, 1 - 2**-20], 7936),
            ([7, 9, 11, 400], [0.125, 0.125, 0.25, 0.5], 10),
            ([5, 5], [2**-60, 1 - 2**-60], 10),
        ]
    ],
    "chiSquareTail": [
        {"x": x, "df": df, "want": float(gammainc(mpf(df) / 2, mpf(x) / 2, regularized=True))}
        for x, df in [(0.001, 1), (3.841458820694124, 1), (9.090909090909092, 1), (100, 1), (1400, 1), (0.5, 2), (30, 2), (1, 5),
                      (5.5, 5), (40, 5), (63, 63), (150, 63), (900, 1000), (1300, 1000), (0.01, 1000), (100500, 100000)]
    ],
    "logBetaTail": [
        {"x": x, "a": a, "b": b, "want": float(log_beta_tail(x, a, b))}
        for x, a, b in [(0.5, 1, 1), (0.25, 2.5, 7.5), (0.25, 52.5, 57.5), (0.25, 2.5, 400.5), (0.25, 400.5, 2.5), (0.0078125, 1, 124),
                        (0.0078125, 0.0625, 7.9375), (0.5, 100.5, 300.5), (0.25, 250.5, 750.5), (0.25, 25000.5, 75200.5), (0.75, 0.5, 0.25)]
    ],
    "logPhiTimes": [
        {"z": z, "want": float(mpf(z) ** 2 / 2 + log(ncdf(mpf(z))))} for z in [-500, -40, -25.5, -24.5, -8, -1, 0, 1, 5, 40]
    ],
    "stirlingRest": [
        {"z": z, "want": float(loggamma(mpf(z)) - (mpf(z) - 0.5) * log(mpf(z)) + mpf(z) - log(2 * mp.pi) / 2)}
        for z in [1e-12, 0.001, 0.5, 1, 2, 9.99, 10, 11, 50, 1000, 1e9]
    ],
    "zeta": [{"s": s, "want": float(zeta(mpf(s)))} for s in [1.1, 1.4, 2, 3]],
}
with open("special.json", "w") as f:
    lines = ",\n".join('"%s": [\n%s\n]' % (k, ",\n".join(json.dumps(r) for r in rows)) for k, rows in out.items())
    f.write("{\n" + lines + "\n}\n")
