<?php

use App\Http\Home;
use Illuminate\Support\Facades\Route;

Route::get('/', Home::class);
