#include "CCycladesBuffer.h"
