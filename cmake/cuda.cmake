# The GPU room: normlab_cuda, where nvcc, cuDNN and cuBLAS are found; never asks for a device. What is missing, it says.
set(NORMLAB_CUDA ON CACHE STRING
    "Build for NVIDIA GPUs where nvcc, cuDNN and cuBLAS are found: ON, OFF, or HERE (for the GPUs that answer here, if any do)")
set(NORMLAB_CUDA_ARCHITECTURES "" CACHE STRING "As for CMAKE_CUDA_ARCHITECTURES; empty: 80, 90, 100 where nvcc knows it, and PTX")

include(cmake/find_cuda.cmake)
set(architectures ${NORMLAB_CUDA_ARCHITECTURES})
if(NORMLAB_CUDA STREQUAL HERE)
  normlab_gpus_here(gpus)
  if(NOT architectures)
    set(architectures ${gpus})
  endif()
endif()
if(NORMLAB_CUDA STREQUAL HERE AND NOT gpus)
  set(NORMLAB_CUDA_MISSING "no GPU answered when it was built (tools/setup --build release builds for all)")
else()
  normlab_find_cuda(NORMLAB_CUDA_MISSING)
endif()
if(NORMLAB_CUDA_MISSING)
  message(STATUS "GPU: not built: ${NORMLAB_CUDA_MISSING}")
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES 80)  # of CMake's own tests; nothing asks which device is here
enable_language(CUDA)
foreach(kind STANDARD EXTENSION)  # CMake 3.25 does not know nvcc's C++20
  if(NOT CMAKE_CUDA20_${kind}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
  endif()
endforeach()
find_package(CUDAToolkit REQUIRED)
if(NOT architectures)
  normlab_default_architectures(${CMAKE_CUDA_COMPILER_VERSION} architectures)
endif()

file(GLOB sources CONFIGURE_DEPENDS cuda/*.cu cuda/*.cpp)
add_library(normlab_cuda STATIC ${sources})
set_target_properties(normlab_cuda PROPERTIES CUDA_ARCHITECTURES "${architectures}")
target_include_directories(normlab_cuda PUBLIC ${PROJECT_SOURCE_DIR}/cuda/native)
target_include_directories(normlab_cuda SYSTEM PRIVATE ${NORMLAB_CUDNN_INCLUDE})
target_link_libraries(normlab_cuda PUBLIC normlab_layers PRIVATE CUDA::cudart_static CUDA::cublas
                                                                 ${NORMLAB_CUDNN_LIBRARY} ${CMAKE_DL_LIBS})
# Kernels share constexpr code with the host; a spill or a local array is an error; lines for the profiler. fmt's
# checks of format strings at compile time are beyond nvcc.
set(language --expt-relaxed-constexpr -DFMT_USE_CONSTEXPR=1 -DFMT_CONSTEVAL= -DFMT_USE_CONSTEVAL=0)
target_compile_options(
  normlab_cuda
  PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${language}
          -Werror=all-warnings
          -lineinfo
          -Xptxas=-warn-spills,-warn-lmem-usage,-Werror
          -Xcompiler=-Wall,-Wextra,-Wconversion,-Wno-psabi>)
# For tests/cuda/compiled_code_test.cpp, which reads PTX where no disassembler is.
list(JOIN language " " NORMLAB_NVCC_LINE)
string(PREPEND NORMLAB_NVCC_LINE "${CMAKE_CUDA_COMPILER} -std=c++20 ")
string(APPEND NORMLAB_NVCC_LINE " -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/cuda/native -I${NORMLAB_CUDNN_INCLUDE}")
message(STATUS "GPU: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, ${NORMLAB_CUDNN_LIBRARY}, for ${architectures}")
