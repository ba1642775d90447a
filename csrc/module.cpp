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
#include <utility>

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

// A field of one of the NamedTuples of rsfast/backends/call.py.
template <class T>
T number(py::handle value, const char* name) {
    py::detail::make_caster<T> field;
    if (!field.load(value.attr(name), true)) throw py::type_error(std::string(name) + " is no number that fits");
    return py::detail::cast_op<T>(field);
}

// Arrays are taken as they are: one of another dtype or layout is refused, not copied.
template <class T>
Array<T> array(py::handle value, const char* name) {
    const py::object field = value.attr(name);
    if (!Array<T>::check_(field)) throw py::type_error(std::string(name) + " is not a C-contiguous array of its dtype");
    return py::reinterpret_borrow<Array<T>>(field);
}

Draw checked_draw(py::handle draw) {
    const int kind = number<int>(draw, "kind");
    const auto table = array<float>(draw, "table");
    const auto thresholds = array<int64_t>(draw, "thresholds");
    const auto high = array<int32_t>(draw, "high");
    const float step = number<float>(draw, "step");
    require(0 <= kind && kind < KINDS, "kind must be one of KINDS");
    const int64_t length = thresholds.size();
    require(thresholds.ndim() == 1 && high.ndim() == 1 && high.size() == length && length > 0 && length < (1 << 24) &&
                (length & (length - 1)) == 0,
            "thresholds and high must have the same length, a power of two");
    require(Kind(kind) != Kind::lattice || (thresholds.data()[length - 1] == 0 && step >= 0.0f && step < 1e5f),
            "the last threshold must be 0");
    require(table.ndim() == 2 && table.shape(0) == DEGREE + 1 && table.shape(1) == ROWS, "table must be [8, 128]");
    return {Kind(kind), table.data(), thresholds.data(), high.data(), int32_t(length), step};
}

// `plane` is that of the image shown.  What is returned lives as long as the NamedTuple.
Call checked_call(py::handle call, int64_t plane) {
    const auto pixels = array<float>(call, "pixels"), scale = array<float>(call, "scale");
    const auto ids = array<uint32_t>(call, "ids");
    const auto [lo, hi] = number<std::pair<uint32_t, uint32_t>>(call, "key");
    const int64_t count = number<int64_t>(call, "count");
    const int cast = number<int>(call, "cast");
    py::object field = call.attr("out");
    if (!py::isinstance<py::array>(field)) throw py::type_error("out is no array");
    auto out = py::reinterpret_borrow<py::array>(field);
    require(pixels.ndim() == 3, "pixels must be [images, channels, plane]");
    const int64_t images = pixels.shape(0), channels = pixels.shape(1);
    require(scale.ndim() == 2 && scale.shape(0) == images && scale.shape(1) == channels, "scale must be [images, channels]");
    require(ids.ndim() == 1 && ids.shape(0) == images, "ids must be [images]");
    require(0 <= cast && cast < CASTS, "cast must be one of CASTS");
    require(out.ndim() == 2 && out.shape(0) == images * count && out.shape(1) == channels * plane,
            "out must be [images * count, channels * plane]");
    require((out.flags() & py::array::c_style) && out.writeable() && out.itemsize() == (Cast(cast) == Cast::float32 ? 4 : 2),
            "out must be writeable, C-contiguous and of the cast's size");
    return {pixels.data(),
            scale.data(),
            ids.data(),
            images,
            channels,
            pixels.shape(2),
            {lo, hi},
            number<uint32_t>(call, "stream"),
            number<uint32_t>(call, "first"),
            count,
            out.mutable_data(),
            Cast(cast),
            number<bool>(call, "channels_last"),
            checked_draw(call.attr("draw"))};
}

bool all_below(const Array<int32_t>& values, int64_t limit) {
    return std::all_of(values.data(), values.data() + values.size(), [=](int32_t value) { return 0 <= value && value < limit; });
}

// Of images with so many channels and kept pixels m.
Part checked_part(py::handle part, int64_t channels, int64_t m) {
    const int fill = number<int>(part, "fill");
    const int64_t width = number<int64_t>(part, "width");
    const auto gain = array<float>(part, "gain"), offset = array<float>(part, "offset"), weights = array<float>(part, "weights");
    const auto kept = array<int32_t>(part, "kept"), indices = array<int32_t>(part, "indices");
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
    return {Fill(fill), plane, width, gain.data(), offset.data(), kept.data(), indices.data(), weights.data(), indices.shape(0)};
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

// Rows begin ... end - 1 of a call: of whole images, or of the part that is given.
void perturb(py::handle asked, py::handle asked_part, int64_t begin, int64_t end, int threads) {
    const auto pixels = array<float>(asked, "pixels");
    require(pixels.ndim() == 3, "pixels must be [images, channels, plane]");
    const bool whole = asked_part.is_none();
    const Part part = whole ? Part{} : checked_part(asked_part, pixels.shape(1), pixels.shape(2));
    const Call call = checked_call(asked, whole ? pixels.shape(2) : part.plane);
    require(0 <= begin && begin <= end && end <= call.images * call.count, "rows begin ... end are outside out");
    py::gil_scoped_release unlocked;
    over_threads(begin, end, threads, [&](int64_t first, int64_t last) {
        if (whole) {
            level().perturb(call, first, last);
        } else {
            level().perturb_part(call, part, first, last);
        }
    });
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
    module.def("perturb", &perturb, py::arg("call"), py::arg("part"), py::arg("begin"), py::arg("end"), py::arg("threads"));
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
