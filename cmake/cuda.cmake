# The GPU room: normlab_cuda, where nvcc, cuDNN and cuBLAS are found; never asks for a device. What is missing, it says.
option(NORMLAB_CUDA "Build for NVIDIA GPUs where nvcc, cuDNN and cuBLAS are found" ON)
set(NORMLAB_CUDA_ARCHITECTURES "" CACHE STRING "As for CMAKE_CUDA_ARCHITECTURES; empty: 80, 90, 100 where nvcc knows it, and PTX")

function(normlab_find_cuda missing)
  if(NOT NORMLAB_CUDA)
    set(${missing} "NORMLAB_CUDA is off" PARENT_SCOPE)
    return()
  endif()
  if(NORMLAB_SANITIZE)
    set(${missing} "sanitizers and the driver exclude each other" PARENT_SCOPE)
    return()
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(NORMLAB_NVCC nvcc PATHS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
    if(NOT NORMLAB_NVCC)
      set(${missing} "no nvcc (CUDA toolkit 12.4 or later)" PARENT_SCOPE)
      return()
    endif()
    set(CMAKE_CUDA_COMPILER ${NORMLAB_NVCC} CACHE FILEPATH "CUDA compiler")
  endif()
  get_filename_component(toolkit ${CMAKE_CUDA_COMPILER} DIRECTORY)
  get_filename_component(toolkit ${toolkit}/.. ABSOLUTE)
  set(hints ${toolkit} ${toolkit}/targets/x86_64-linux ${toolkit}/targets/sbsa-linux)
  find_path(NORMLAB_CUDNN_INCLUDE cudnn.h HINTS ${hints} PATH_SUFFIXES include)
  find_library(NORMLAB_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${hints} PATH_SUFFIXES lib64 lib)
  find_library(NORMLAB_CUBLAS_LIBRARY cublas HINTS ${hints} PATH_SUFFIXES lib64 lib)
  foreach(part CUDNN_INCLUDE:cudnn.h CUDNN_LIBRARY:libcudnn.so CUBLAS_LIBRARY:libcublas.so)
    string(REPLACE ":" ";" part ${part})
    list(GET part 0 variable)
    list(GET part 1 file)
    if(NOT NORMLAB_${variable})
      list(APPEND absent ${file})
    endif()
  endforeach()
  if(absent)
    list(JOIN absent ", " absent)
    set(${missing} "${CMAKE_CUDA_COMPILER} is there, but no ${absent}" PARENT_SCOPE)
  endif()
endfunction()

normlab_find_cuda(NORMLAB_CUDA_MISSING)
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
set(architectures ${NORMLAB_CUDA_ARCHITECTURES})
if(NOT architectures)
  set(architectures 80-real 90)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    set(architectures 80-real 90-real 100)
  endif()
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
target_compile_options(
  normlab_cuda
  PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr
          -Werror=all-warnings
          -lineinfo
          -Xptxas=-warn-spills,-warn-lmem-usage,-Werror
          -Xcompiler=-Wall,-Wextra,-Wconversion,-Wno-psabi>)
target_compile_definitions(
  normlab_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1> $<$<COMPILE_LANGUAGE:CUDA>:FMT_CONSTEVAL=>
                       $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEVAL=0>)
message(STATUS "GPU: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, ${NORMLAB_CUDNN_LIBRARY}, for ${architectures}")
