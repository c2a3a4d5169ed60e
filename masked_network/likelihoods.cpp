// Log-likelihoods of rows under the Gaussians of tasks, out of the bytes that these are kept in.
//
// A lane of a vector is a row, so that one number of a task serves 16 rows. Checks nothing:
// `compiled.py` calls it with what was checked.

#include <cstdint>

#include "widest.hpp"

extern "C" {

// How tasks keep their Gaussians; `structures.py` has the same. Of a task, one after another: [count]
// levels each of deviations, means and precisions, the level of the step of its regressions, and
// these, four bits each, those of an earlier direction first. Each table is [256], by level.
struct KeptGaussians {
    const float* steps;
    const float* inverse_deviations;
    const float* log_deviations;
    const float* means;           // in deviations
    const float* precisions;
    const float* log_precisions;
    const float* regressions;     // [256][2], in steps: the two that a byte holds
    int64_t count, task_bytes;    // directions, and bytes from one task to the next
};
}

namespace {

constexpr int64_t LANES = 16, MOST_DIRECTIONS = 64;

typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), may_alias));
}  // namespace

extern "C" {

// Writes [tasks][rows], in nats and short of a constant, of `projected` [rows][count].
WIDEST void impress_likelihoods(const KeptGaussians* kept, const uint8_t* levels,
                                const float* projected, int64_t tasks, int64_t rows,
                                float* likelihoods) {
    const int64_t count = kept->count, pairs = count * (count - 1) / 2;
    Vector joined[MOST_DIRECTIONS], units[MOST_DIRECTIONS];
    float regressions[MOST_DIRECTIONS * (MOST_DIRECTIONS - 1) / 2 + 1];
    for (int64_t from = 0; from < rows; from += LANES) {
        const int64_t lanes = rows - from < LANES ? rows - from : LANES;
        for (int64_t i = 0; i < count; i++)
            for (int64_t lane = 0; lane < LANES; lane++)
                joined[i][lane] = lane < lanes ? projected[(from + lane) * count + i] : 0.0f;
        for (int64_t task = 0; task < tasks; task++) {
            const uint8_t* deviations = levels + task * kept->task_bytes;
            const uint8_t *means = deviations + count, *precisions = means + count;
            const uint8_t *step = precisions + count, *packed = step + 1;
            for (int64_t pair = 0; pair < pairs; pair += 2) {
                const float* both = kept->regressions + 2 * packed[pair / 2];
                regressions[pair] = both[0];
                regressions[pair + 1] = both[1];
            }
            const float step_size = kept->steps[*step], *own = regressions;
            float volume = 0.0f;
            Vector squares = {};
            for (int64_t i = 0; i < count; own += i, i++) {
                const Vector unit = joined[i] * kept->inverse_deviations[deviations[i]] -
                                    kept->means[means[i]];
                // Four sums, or each product would have to wait for the one before.
                Vector first = {}, second = {}, third = {}, fourth = {};
                int64_t j = 0;
                for (; j + 4 <= i; j += 4) {
                    first += own[j] * units[j];
                    second += own[j + 1] * units[j + 1];
                    third += own[j + 2] * units[j + 2];
                    fourth += own[j + 3] * units[j + 3];
                }
                for (; j < i; j++) first += own[j] * units[j];
                const Vector explained = (first + second) + (third + fourth);
                const Vector residual = (unit + step_size * explained) * kept->precisions[precisions[i]];
                units[i] = unit;
                squares += residual * residual;
                volume += kept->log_precisions[precisions[i]] - kept->log_deviations[deviations[i]];
            }
            for (int64_t lane = 0; lane < lanes; lane++)
                likelihoods[task * rows + from + lane] = volume - squares[lane] / 2;
        }
    }
}
}
