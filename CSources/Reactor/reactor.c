#include "CCycladesReactor.h"
