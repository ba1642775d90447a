// rsfast._C: NumPy arrays in, checks at the border, GIL released while working.  rsfast/_C.pyi holds the signatures.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>

#include "call.hpp"

namespace py = pybind11;
using namespace rsfast;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// Slowest first.  All give the same bits; which one is in use can be changed for tests and measurements.
constexpr const Level* LEVELS[] = {&BASELINE, &AVX2, &AVX512};
std::atomic<const Level*> chosen{&BASELINE};

const Level& level() { return *chosen; }

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

Key split(uint64_t seed) { return {uint32_t(seed), uint32_t(seed >> 32)}; }

Cast cast_named(const std::string& cast) {
    require(cast == "float32" || cast == "bfloat16" || cast == "float16", "cast must be float32, bfloat16 or float16");
    return cast == "float32" ? Cast::float32 : cast == "bfloat16" ? Cast::bfloat16 : Cast::float16;
}

// A checked call; `plane` is that of the image shown.
Perturbation checked(const Array<float>& pixels, const Array<float>& scale, const Array<uint32_t>& ids, uint64_t seed,
                     uint32_t stream, uint32_t first, int64_t count, py::array& out, const std::string& cast, bool channels_last,
                     int kind, const Array<float>& table, const Array<int64_t>& thresholds, const Array<int32_t>& high,
                     float step, int64_t begin, int64_t end, int64_t plane) {
    const int64_t images = pixels.shape(0), channels = pixels.shape(1);
    require(scale.ndim() == 2 && scale.shape(0) == images && scale.shape(1) == channels, "scale must be [images, channels]");
    require(ids.ndim() == 1 && ids.shape(0) == images, "ids must be [images]");
    const Cast type = cast_named(cast);
    require(out.ndim() == 2 && out.shape(0) == images * count && out.shape(1) == channels * plane,
            "out must be [images * count, channels * plane]");
    require((out.flags() & py::array::c_style) && out.writeable() && out.itemsize() == (type == Cast::float32 ? 4 : 2),
            "out must be writeable, C-contiguous and of the cast's size");
    require(0 <= begin && begin <= end && end <= images * count, "rows begin ... end are outside out");
    require(0 <= kind && kind < KINDS, "kind must be one of KINDS");
    const int64_t length = thresholds.size();
    require(thresholds.ndim() == 1 && high.ndim() == 1 && high.size() == length && length > 0 && length < (1 << 24) &&
                (length & (length - 1)) == 0,
            "thresholds and high must have the same length, a power of two");
    require(Kind(kind) != Kind::lattice || (thresholds.data()[length - 1] == 0 && step >= 0.0f && step < 1e5f),
            "the last threshold must be 0");
    require(table.ndim() == 2 && table.shape(0) == DEGREE + 1 && table.shape(1) == ROWS, "table must be [8, 128]");
    return {pixels.data(),
            scale.data(),
            ids.data(),
            images,
            channels,
            pixels.shape(2),
            split(seed),
            stream,
            first,
            count,
            out.mutable_data(),
            type,
            channels_last,
            {Kind(kind), table.data(), thresholds.data(), high.data(), int32_t(length), step}};
}

// Shares rows begin ... end - 1 out over threads.  The noise does not depend on how.
template <class Work>
void over_threads(int64_t begin, int64_t end, int threads, Work work) {
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            const int64_t turn = omp_get_thread_num(), all = omp_get_num_threads(), rows = end - begin;
            work(begin + rows * turn / all, begin + rows * (turn + 1) / all);
        }
        return;
    }
#endif
    (void)threads;
    work(begin, end);
}

void perturb_rows(const Array<float>& pixels, const Array<float>& scale, const Array<uint32_t>& ids, uint64_t seed,
                  uint32_t stream, uint32_t first, int64_t count, py::array out, const std::string& cast, bool channels_last,
                  int kind, const Array<float>& table, const Array<int64_t>& thresholds, const Array<int32_t>& high, float step,
                  int64_t begin, int64_t end, int threads) {
    require(pixels.ndim() == 3, "pixels must be [images, channels, plane]");
    const Perturbation call = checked(pixels, scale, ids, seed, stream, first, count, out, cast, channels_last, kind, table,
                                      thresholds, high, step, begin, end, pixels.shape(2));
    py::gil_scoped_release unlocked;
    over_threads(begin, end, threads, [&](int64_t first, int64_t last) { level().perturb(call, first, last); });
}

bool all_below(const Array<int32_t>& values, int64_t limit) {
    return std::all_of(values.data(), values.data() + values.size(), [=](int32_t value) { return 0 <= value && value < limit; });
}

void perturb_part_rows(const Array<float>& pixels, const Array<float>& scale, const Array<uint32_t>& ids, uint64_t seed,
                       uint32_t stream, uint32_t first, int64_t count, py::array out, const std::string& cast, bool channels_last,
                       int kind, const Array<float>& table, const Array<int64_t>& thresholds, const Array<int32_t>& high,
                       float step, int64_t begin, int64_t end, int threads, int fill, int64_t width, const Array<float>& gain,
                       const Array<float>& offset, const Array<int32_t>& kept, const Array<int32_t>& indices,
                       const Array<float>& weights) {
    require(pixels.ndim() == 3, "pixels must be [images, channels, kept]");
    const int64_t channels = pixels.shape(1), m = pixels.shape(2);
    require(indices.ndim() == 2 && weights.ndim() == 2 && indices.shape(0) == weights.shape(0) && indices.shape(0) > 0 &&
                indices.shape(1) == weights.shape(1),
            "indices and weights must be [taps, plane]");
    const int64_t plane = indices.shape(1);
    require(gain.ndim() == 1 && offset.ndim() == 1 && gain.shape(0) == channels && offset.shape(0) == channels,
            "gain and offset must be [channels]");
    require(kept.ndim() == 1 && kept.shape(0) == m, "kept must be [kept]");
    require(0 <= fill && fill < FILLS, "fill must be one of FILLS");
    require(Fill(fill) == Fill::taps || (2 * m == plane && width > 0 && width % 2 == 0 && plane % (2 * width) == 0),
            "this fill keeps one pixel of every pair of columns of an even number of rows");
    require(all_below(indices, m), "an index is outside the kept pixels");
    const Perturbation call = checked(pixels, scale, ids, seed, stream, first, count, out, cast, channels_last, kind, table,
                                      thresholds, high, step, begin, end, plane);
    const View view{Fill(fill),  plane,          width,          gain.data(),     offset.data(),
                    kept.data(), indices.data(), weights.data(), indices.shape(0)};
    py::gil_scoped_release unlocked;
    over_threads(begin, end, threads, [&](int64_t first, int64_t last) { level().perturb_part(call, view, first, last); });
}

void count_votes(const float* logits, int64_t copies, const int64_t* row_of, const Votes& votes) {
    level().count_floats(logits, copies, row_of, votes);
}

void count_votes(const double* logits, int64_t copies, const int64_t* row_of, const Votes& votes) {
    level().count_doubles(logits, copies, row_of, votes);
}

template <class Number>
void count(const Array<Number>& logits, Array<int64_t>& votes, const std::optional<Array<int64_t>>& rows) {
    require(logits.ndim() == 2 && votes.ndim() == 2 && logits.shape(1) == votes.shape(1) && logits.shape(1) > 0,
            "logits must be [copies, classes] and votes [rows, classes]");
    const int64_t copies = logits.shape(0), images = votes.shape(0);
    if (rows) {
        require(rows->ndim() == 1 && rows->shape(0) == copies, "rows must be [copies]");
    } else {
        require(images > 0 ? copies % images == 0 : copies == 0, "copies must be shared out equally over votes");
    }
    const Number* source = logits.data();
    const int64_t* row_of = rows ? rows->data() : nullptr;
    const Votes target{votes.mutable_data(), images, votes.shape(1)};
    py::gil_scoped_release unlocked;
    count_votes(source, copies, row_of, target);
}

Array<uint32_t> philox(uint32_t block, int64_t n, uint32_t sample, uint32_t image, uint32_t stream, uint64_t seed) {
    require(n >= 0, "n must not be negative");
    Array<uint32_t> words({n, int64_t(4)});
    level().philox_words(block, n, sample, image, stream, split(seed), words.mutable_data());
    return words;
}

std::string simd() { return level().name; }

py::list simd_levels() {
    py::list names;
    for (const Level* candidate : LEVELS) {
        if (runs(*candidate)) names.append(candidate->name);
    }
    return names;
}

void use_simd(const std::string& name) {
    for (const Level* candidate : LEVELS) {
        if (runs(*candidate) && name == candidate->name) {
            chosen = candidate;
            return;
        }
    }
    throw std::invalid_argument("name must be one of simd_levels()");
}

}  // namespace

PYBIND11_MODULE(_C, module) {
    module.doc() = "Compiled noise and counting on the CPU; the arithmetic is that of rsfast.backends.reference.";
    module.def("perturb", &perturb_rows, py::arg("pixels").noconvert(), py::arg("scale").noconvert(), py::arg("ids").noconvert(),
               py::arg("seed"), py::arg("stream"), py::arg("first"), py::arg("count"), py::arg("out").noconvert(),
               py::arg("cast"), py::arg("channels_last"), py::arg("kind"), py::arg("table").noconvert(),
               py::arg("thresholds").noconvert(), py::arg("high").noconvert(), py::arg("step"), py::arg("begin"), py::arg("end"),
               py::arg("threads"));
    module.def("perturb_part", &perturb_part_rows, py::arg("pixels").noconvert(), py::arg("scale").noconvert(),
               py::arg("ids").noconvert(), py::arg("seed"), py::arg("stream"), py::arg("first"), py::arg("count"),
               py::arg("out").noconvert(), py::arg("cast"), py::arg("channels_last"), py::arg("kind"),
               py::arg("table").noconvert(), py::arg("thresholds").noconvert(), py::arg("high").noconvert(), py::arg("step"),
               py::arg("begin"), py::arg("end"), py::arg("threads"), py::arg("fill"), py::arg("width"),
               py::arg("gain").noconvert(), py::arg("offset").noconvert(), py::arg("kept").noconvert(),
               py::arg("indices").noconvert(), py::arg("weights").noconvert());
    module.def("count", &count<float>, py::arg("logits").noconvert(), py::arg("votes").noconvert(), py::arg("rows").noconvert());
    module.def("count", &count<double>, py::arg("logits").noconvert(), py::arg("votes").noconvert(), py::arg("rows").noconvert());
    module.def("philox", &philox, py::arg("block"), py::arg("n"), py::arg("sample"), py::arg("image"), py::arg("stream"),
               py::arg("seed"));
    for (const Level* candidate : LEVELS) {
        if (runs(*candidate)) chosen = candidate;
    }
    module.attr("sources") = RSFAST_SOURCES;  // hash of csrc/ at build time
#ifdef _OPENMP
    module.attr("openmp") = true;
#else
    module.attr("openmp") = false;
#endif
    module.def("simd", &simd, "The instruction set in use: the last of simd_levels() until use_simd() says otherwise.");
    module.def("simd_levels", &simd_levels, "The instruction sets that this machine runs, slowest first.");
    module.def("use_simd", &use_simd, py::arg("name"));
}
